"""`transcribe FILE` and `speak TEXT -o FILE`: without the server, in the same bounded memory."""

import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import click

from ..config import Settings
from ..files import atomic_write
from ..speech import languages, subtitles
from ..speech.chain import SpeakRequest
from ..speech.formats import AUDIO, TRANSCRIPTS
from ..speech.transcription import Segment, Transcription, TranscriptionRequest
from ..synthesizers import SYNTHESIZERS, WITH_PITCH
from . import engines

STANDARD = "-"  # input or output
SUFFIXES = {suffix: name for name, row in AUDIO.items() for suffix in row.suffixes}
# A command may take longer texts than the service: nobody waits behind it.
LONGEST_TEXT = 100_000
LIMIT_SECONDS = 3600


def destination(context: click.Context, option: click.Parameter, out: str) -> str:
    """*out*; BadParameter, before the work begins, if no file can be made there."""
    path = Path(out)
    if out != STANDARD and path.is_dir():
        raise click.BadParameter(f"{out} is a directory")
    if out != STANDARD and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"{path.parent} is not a directory")
    return out


def write(out: str, chunks: Iterable[bytes]) -> None:
    """Write *chunks* to the file *out*, or, if that is "-", to standard output as they come."""
    path = Path(out)
    if out == STANDARD:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():  # a pipe or a device can't be replaced
        with path.open("wb") as device:
            device.writelines(chunks)
    else:
        with atomic_write(path, mode=0o666) as file:  # less the umask, as other programs' files
            file.writelines(chunks)


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
    type=click.Choice([*TRANSCRIPTS]),
    help="What is written; by default OUT's suffix, else text.",
)
@click.option(
    "-o", "--out", default=STANDARD, callback=destination, help="A file; - is standard output, the default."
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
    settings = Settings.from_env()
    if model:
        settings = replace(settings, whisper_model=model, disable_local_whisper=False)
    chosen = format or next((name for name, row in TRANSCRIPTS.items() if out.endswith(row.suffix)), "text")
    with on_disk(file) as path, engines.speech(settings) as speech:
        request = TranscriptionRequest(path=path, **params)  # type: ignore[arg-type] # click made them so
        with closing(speech.transcribe(request)) as transcription:
            # On a terminal, unless the text itself appears there.
            shown = sys.stderr.isatty() and not (out == STANDARD and sys.stdout.isatty())
            segments = show_progress(transcription) if shown else transcription
            pieces = TRANSCRIPTS[chosen].render(segments, transcription)
            write(out, (piece.encode(errors="backslashreplace") for piece in pieces))


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


def show_progress(transcription: Transcription) -> Iterator[Segment]:
    """The segments, while a bar on the terminal shows how far they are, or how long if the file states no length."""
    rest = iter(transcription)
    first = list(itertools.islice(rest, 1))  # the length that the file states comes before it
    segments, seconds = itertools.chain(first, rest), round(transcription.stated_seconds or 0)
    if not seconds:
        with click.progressbar(
            segments,
            label="Transcribing",
            file=sys.stderr,
            item_show_func=lambda one: subtitles.clock(one.end, ".") if one else "",
        ) as bar:
            yield from bar
        return
    with click.progressbar(range(seconds), label="Transcribing", file=sys.stderr) as bar:
        for segment in segments:
            bar.update(round(min(max(segment.end, transcription.seconds_done), seconds)) - bar.pos)
            yield segment
        bar.update(seconds - bar.pos)


@click.command(help="Speak TEXT (- is standard input) into a file of audio.")
@click.argument("text")
@click.option("-o", "--out", required=True, callback=destination, help="A file; - is standard output.")
@click.option(
    "-f",
    "--format",
    type=click.Choice(sorted(AUDIO)),
    help="By default OUT's suffix, mp3 for standard output.",
)
@click.option("--voice", help="A voice's id or name.")
@click.option("--engine", type=click.Choice(["auto", *SYNTHESIZERS]), help="Else TTS_ENGINE.")
@click.option("--language", help="Language tag of the text; else TTS_LANGUAGE.")
@click.option("--speed", type=click.FloatRange(0.25, 4), default=1.0, show_default=True)
@click.option("--pitch", type=click.FloatRange(0.5, 2), default=1.0, help=f"{WITH_PITCH} only.")
def speak(text: str, out: str, format: str | None, **params: str | float | None) -> None:
    """Write the audio once it is whole, and say which voice spoke, and why no better one did."""
    settings = replace(
        Settings.from_env(),
        disable_local_whisper=True,  # its model need not be installed
        openai_base_url="",
        tts_max_characters=LONGEST_TEXT,
        tts_timeout_seconds=LIMIT_SECONDS,
    )
    request = SpeakRequest(
        text=read_text(text),
        format=format or format_of(out),
        stream=False,  # the file's header then says how long it is
        **params,  # type: ignore[arg-type] # click made them so
    )
    with (
        engines.speech(settings) as speech,
        closing(speech.synthesis.speak(request)) as spoken,
    ):
        write(out, spoken.audio)
        for reason in spoken.fallback:
            click.echo(f"not by {reason}", err=True)
        if spoken.skipped:
            click.echo(f"letters not spoken: {spoken.not_spoken}", err=True)
        seconds = f", {spoken.duration_seconds:.1f} s" if spoken.duration_seconds else ""
        click.echo(f"spoken by {spoken.voice}{seconds}", err=True)


def read_text(text: str) -> str:
    """*text*, or standard input if it is "-"."""
    try:
        return (sys.stdin.buffer.read() if text == "-" else text.encode(errors="surrogateescape")).decode()
    except UnicodeDecodeError:
        raise click.UsageError("the text is not UTF-8") from None


def format_of(out: str) -> str:
    """The format that belongs to the suffix of *out*."""
    if out == STANDARD:
        if sys.stdout.isatty():
            raise click.UsageError("audio is not written to a terminal: name a file with -o, or a pipe")
        return "mp3"
    suffix = Path(out).suffix.lower()
    if suffix not in SUFFIXES:
        raise click.UsageError(f"{out}: name it {', '.join(SUFFIXES)}, or say which --format it is")
    return SUFFIXES[suffix]
