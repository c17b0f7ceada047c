"""`transcribe FILE`: transcribes a recording without the server, in the same bounded memory."""

import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING

import click

from ..config import Settings
from ..speech import languages
from . import output

if TYPE_CHECKING:
    from ..speech.transcription import Segment, Transcription

FORMATS = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}
LABEL = "Transcribing"


def language_code(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """Whisper's code for the language *name*."""
    try:
        return languages.whisper_code(name) if name and name.lower() != "auto" else None
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None


@click.command(
    help="The text of the recording FILE (- is standard input), with a bar of progress on a terminal."
)
@click.argument("file", type=click.File("rb"))
@click.option(
    "-f",
    "--format",
    type=click.Choice([*FORMATS]),
    help="What is written; by default OUT's suffix, else text.",
)
@click.option(
    "-o",
    "--out",
    default=output.STANDARD,
    callback=output.destination,
    help="A file; - is standard output, the default.",
)
@click.option(
    "--language", callback=language_code, help="ISO 639-1 code or English name; else it is detected."
)
@click.option(
    "--task", type=click.Choice(["transcribe", "translate"]), default="transcribe", show_default=True
)
@click.option("--word-timestamps", is_flag=True, help="Also the time of each word.")
@click.option(
    "--beam-size", type=click.IntRange(1, 10), help="Hypotheses kept; by default WHISPER_BEAM_SIZE."
)
@click.option("--model", help="Another model than WHISPER_MODEL.")
def transcribe(
    file: IO[bytes], format: str | None, out: str, model: str | None, **params: str | int | None
) -> None:
    """Write the text as it is found, or to a file once it is whole."""
    from ..speech.transcription import TranscriptionRequest
    from . import engines

    settings = Settings.from_env()
    if model:
        settings = replace(settings, whisper_model=model, disable_local_whisper=False)
    chosen = format or next((name for name, end in FORMATS.items() if out.endswith(end)), "text")
    with on_disk(file) as path, engines.speech(settings) as speech:
        request = TranscriptionRequest(path=path, **params)  # type: ignore[arg-type] # click made them so
        with closing(speech.transcribe(request, engines.should_continue)) as transcription:
            # On a terminal, unless the text itself appears there.
            shown = sys.stderr.isatty() and not (out == output.STANDARD and sys.stdout.isatty())
            segments = show_progress(transcription) if shown else transcription
            pieces = render(transcription, segments, chosen)
            output.write(out, (piece.encode(errors="backslashreplace") for piece in pieces))


@contextmanager
def on_disk(file: IO[bytes]) -> Iterator[str]:
    """A path by which the engine can open *file*, whatever its name is; a pipe is copied to disk first."""
    if file.seekable():
        yield f"/proc/{os.getpid()}/fd/{file.fileno()}"
        return
    with tempfile.TemporaryFile(dir=Settings.from_env().upload_dir or None) as kept:
        shutil.copyfileobj(file, kept)
        kept.flush()
        yield f"/proc/{os.getpid()}/fd/{kept.fileno()}"


def show_progress(transcription: "Transcription") -> "Iterator[Segment]":
    """The segments, while a bar on the terminal shows how far they are, or how long if the file states no length."""
    from ..speech.subtitles import clock

    rest = iter(transcription)
    first = list(itertools.islice(rest, 1))  # the length that the file states comes before it
    segments, seconds = itertools.chain(first, rest), round(transcription.stated_seconds or 0)
    if not seconds:
        with click.progressbar(
            segments,
            label=LABEL,
            file=sys.stderr,
            item_show_func=lambda one: clock(one.end, ".") if one else "",
        ) as bar:
            yield from bar
        return
    with click.progressbar(range(seconds), label=LABEL, file=sys.stderr) as bar:
        for segment in segments:
            bar.update(round(min(max(segment.end, transcription.seconds_done), seconds)) - bar.pos)
            yield segment
        bar.update(seconds - bar.pos)


def render(transcription: "Transcription", segments: "Iterable[Segment]", format: str) -> Iterator[str]:
    """*segments* as *format*, in pieces as they come; JSON at the end, in the shape of the API."""
    from ..speech import subtitles

    if format == "srt":
        yield from subtitles.srt(segments)
    elif format == "vtt":
        yield from subtitles.vtt(segments)
    elif format == "json":
        yield as_json(transcription, list(segments))
    else:
        begun = False
        for segment in segments:
            yield segment.text if begun else segment.text.lstrip()
            begun = True
        yield "\n"


def as_json(transcription: "Transcription", segments: "list[Segment]") -> str:
    """What `POST /api/v1/pam/voice/transcribe` answers."""
    from ..speech.transcription import segment_dict, transcription_dict

    shown = [segment_dict(one) for one in segments]
    answer = {**transcription_dict(transcription, segments), "segments": shown}
    return json.dumps(answer, ensure_ascii=False, indent=2) + "\n"
