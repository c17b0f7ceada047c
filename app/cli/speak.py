"""`speak TEXT -o FILE`: speaks a text without the server."""

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

from ..config import SYNTHESIZERS, Settings
from . import output

# A command may take longer texts than the service: nobody waits behind it.
LONGEST_TEXT = 100_000
LIMIT_SECONDS = 3600

FORMATS = {
    ".mp3": "mp3", ".opus": "opus", ".ogg": "opus", ".aac": "aac", ".flac": "flac", ".wav": "wav", ".pcm": "pcm",
}  # fmt: skip


@click.command(help="Speak TEXT (- is standard input) into a file of audio.")
@click.argument("text")
@click.option("-o", "--out", required=True, callback=output.destination, help="A file; - is standard output.")
@click.option(
    "-f",
    "--format",
    type=click.Choice(sorted(set(FORMATS.values()))),
    help="By default OUT's suffix, mp3 for standard output.",
)
@click.option("--voice", help="A voice's id or name.")
@click.option("--engine", type=click.Choice(["auto", *SYNTHESIZERS]), help="Else TTS_ENGINE.")
@click.option("--language", help="Language tag of the text; else TTS_LANGUAGE.")
@click.option("--speed", type=click.FloatRange(0.25, 4), default=1.0, show_default=True)
@click.option("--pitch", type=click.FloatRange(0.5, 2), default=1.0, help="Pico and espeak-ng only.")
def speak(text: str, out: str, format: str | None, **params: str | float | None) -> None:
    """Write the audio once it is whole, and say which voice spoke, and why no better one did."""
    from ..speech.chain import SpeakRequest
    from . import engines

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
        closing(speech.synthesis.speak(request, engines.should_continue)) as spoken,
    ):
        output.write(out, spoken.audio)
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
    if out == output.STANDARD:
        if sys.stdout.isatty():
            raise click.UsageError("audio is not written to a terminal: name a file with -o, or a pipe")
        return "mp3"
    suffix = Path(out).suffix.lower()
    if suffix not in FORMATS:
        raise click.UsageError(f"{out}: name it {', '.join(FORMATS)}, or say which --format it is")
    return FORMATS[suffix]
