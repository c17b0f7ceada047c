"""`voices list | fetch | remove`."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from ..config import Settings


@click.group(help="Voices on this machine.")
def voices() -> None:
    """Has the commands for voices; those that are fetched are a directory in MODEL_DIR."""


@voices.command("list", help="The voices that speak here, or those of one LANGUAGE.")
@click.argument("language", required=False)
def list_voices(language: str | None) -> None:
    """Print a line for each: id, language, quality, name."""
    from . import engines

    with engines.speech(replace(Settings.from_env(), disable_local_whisper=True)) as speech:
        for voice in speech.synthesis.voices(language):
            click.echo(f"{voice.id:24} {voice.language:8} {voice.quality:10} {voice.name}".rstrip())


@voices.command("fetch", help="Download voices; NAME is kokoro: natural, offline, 7 languages, 90 MB.")
@click.argument("name", type=click.Choice(["kokoro"]))
def fetch_voices(name: str) -> None:
    """Print the voices' directory; the status is 1 if they cannot be fetched."""
    from ..speech import fetch_kokoro
    from ..speech.fetch import FetchFailed

    settings = Settings.from_env()
    try:
        click.echo(fetch_kokoro.fetch(Path(settings.model_dir)))
    except FetchFailed as failure:
        click.echo(failure, err=True)
        sys.exit(1)
    if not settings.kokoro:
        click.echo("KOKORO=false: they do not speak", err=True)


@voices.command("remove", help="Delete the voices that were fetched.")
@click.argument("name", type=click.Choice(["kokoro"]))
def remove_voices(name: str) -> None:
    """Delete their directory."""
    from ..speech.models import remove

    directory = Path(Settings.from_env().model_dir) / name
    if not directory.is_dir():
        raise click.ClickException(f"no voices {name!r} are in {directory.parent}")
    remove(name, directory.parent)
    click.echo(f"removed {directory}")
