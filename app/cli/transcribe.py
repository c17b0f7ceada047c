"""`transcribe FILE`: a recording to text, without the server and in its memory."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from ..config import Settings
from ..speech import whisper_languages
from . import output

if TYPE_CHECKING:
    from ..speech.transcription import Segment, Transcription

FORMATS = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


def language_code(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """Whisper's code for the language that was named."""
    try:
        return whisper_languages.code(name) if name and name.lower() != "auto" else None
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None


@click.command(
    help="The text of the recording FILE (- is standard input), with a line of progress on a terminal."
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
@click.option("--language", callback=language_code, help="ISO 639-1 code or English name; else it is heard.")
@click.option(
    "--task", type=click.Choice(["transcribe", "translate"]), default="transcribe", show_default=True
)
@click.option("--word-timestamps", is_flag=True, help="When each word was said, too.")
@click.option(
    "--beam-size", type=click.IntRange(1, 10), help="Hypotheses kept; by default WHISPER_BEAM_SIZE."
)
@click.option("--model", help="Another model than WHISPER_MODEL.")
def transcribe(
    file: IO[bytes],
    format: str | None,
    out: str,
    model: str | None,
    **asked: str | int | None,
) -> None:
    """Written as it is found, or to a file once it is whole."""
    from ..speech.transcription import TranscriptionRequest
    from . import engines

    settings = Settings.from_env()
    if model:
        settings = replace(settings, whisper_model=model, disable_local_whisper=False)
    chosen = format or next((name for name, end in FORMATS.items() if out.endswith(end)), "text")
    with on_disk(file) as path, engines.speech(settings) as speech:
        request = TranscriptionRequest(path=path, **asked)  # type: ignore[arg-type] # click made them so
        with closing(speech.transcribe(request, engines.wanted)) as transcription:
            segments = watched(transcription, path) if shows_progress(out) else transcription
            pieces = written(transcription, segments, chosen)
            output.write(out, (piece.encode() for piece in pieces))


@contextmanager
def on_disk(file: IO[bytes]) -> Iterator[str]:
    """A path the engine can open; what comes in by a pipe waits in a nameless file."""
    if file.seekable():
        yield str(Path(file.name).resolve()) if file.name != "<stdin>" else f"/proc/{os.getpid()}/fd/0"
        return
    with tempfile.TemporaryFile(dir=Settings.from_env().upload_dir or None) as kept:
        shutil.copyfileobj(file, kept)
        kept.flush()
        yield f"/proc/{os.getpid()}/fd/{kept.fileno()}"


def shows_progress(out: str) -> bool:
    """On a terminal, unless the text itself appears there."""
    return sys.stderr.isatty() and not (out == output.STANDARD and sys.stdout.isatty())


def watched(transcription: "Transcription", path: str) -> "Iterator[Segment]":
    """The segments, while a line on the terminal says how far they are."""
    from .length import stated_seconds
    from .progress import progress

    with progress(stated_seconds(path)) as line:
        for segment in transcription:
            line.show(max(segment.end, transcription.seconds_done))
            yield segment


def written(transcription: "Transcription", segments: "Iterable[Segment]", format: str) -> Iterator[str]:
    """*segments* as *format*, piece by piece as they are found; JSON at the end, in the shape the API has."""
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
    from ..speech.serializers import told_facts, told_segment

    said = {**told_facts(transcription, segments), "segments": [told_segment(one) for one in segments]}
    return json.dumps(said, ensure_ascii=False, indent=2) + "\n"
