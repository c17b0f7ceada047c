"""`models` and `voices`, each with `list`, `fetch` and `remove`."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from ..config import Settings
from ..engine.budget import budget_mb
from ..speech import models as known
from . import engines

note = partial(click.echo, err=True)  # what is no result


@click.group(help="Speech-to-text models on this machine.")
def models() -> None:
    """Has the commands for models; each model is a directory in MODEL_DIR."""


@models.command("fetch", help="Download the model NAME, by default those that are set, unless they are here.")
@click.argument("name", required=False)
def fetch_model(name: str | None) -> None:
    """Print each model's directory; the status is 1 if the first cannot be fetched. The others may be left out."""
    settings = Settings.from_env()
    if settings.disable_local_whisper and name is None:
        click.echo("local Whisper is disabled: no model is needed")
        return
    share_mb = budget_mb(settings) / settings.web_concurrency
    room_mb = known.room_mb(share_mb, settings.memory_reserve_mb) - known.SESSION_MB * settings.engine_seats
    wanted = [name] if name else known.names(settings)
    for number, each in enumerate(wanted):
        model = known.describe(each, Path(settings.model_dir))
        if number and model is not None and model.cost_mb > room_mb:
            note(f"{each} is not fetched: it needs {model.cost_mb} MB, the budget has {room_mb:.0f}")
            continue
        candidates = known.fitting(room_mb) if each == known.AUTO else [each]
        if not candidates:
            note(f"no model fits: {known.share_text(settings, share_mb)}")
        elif each == known.AUTO:
            _fetched(candidates[-1], settings)  # the smallest tells how fast this machine is
            candidates = candidates[candidates.index(known.largest(candidates, settings)) :]
        if not any(_fetched(candidate, settings) for candidate in candidates):
            if not number:
                sys.exit(1)
            note(f"it works without {each}; fetch it later: python -m app models fetch {each}")


def _fetched(name: str, settings: Settings) -> bool:
    from ..speech import fetch  # a client of HTTP, which only this needs

    try:
        click.echo(fetch.fetch(name, Path(settings.model_dir), whole=known.uses_library(settings)))
    except (fetch.FetchFailed, OSError) as failure:
        note(failure)
        return False
    return True


@models.command("list", help="The models that are known, the memory each needs, and which are here.")
def list_models() -> None:
    """Print a line for each: name, cost, "installed"."""
    installed = known.installed(Path(Settings.from_env().model_dir))
    for model in known.CATALOGUE.values():
        cost = f"{model.cost_mb} MB ({model.cost_is})"
        click.echo(f"{model.name:18} {cost:20} {'installed' if model.name in installed else ''}".rstrip())
    for name in installed:
        if name not in known.CATALOGUE:
            click.echo(f"{name:18} {'':20} installed")


@models.command("remove", help="Delete the model NAME from this machine.")
@click.argument("name")
def remove_model(name: str) -> None:
    """Delete a model in MODEL_DIR, and nothing that is none."""
    settings = Settings.from_env()
    model_dir = Path(settings.model_dir)
    installed = known.installed(model_dir)
    if name not in installed:
        known_here = ", ".join(installed) or "none"
        raise click.ClickException(f"no model {name!r} is in {model_dir}; installed: {known_here}")
    known.remove(name, model_dir)
    click.echo(f"removed {model_dir / name}")
    if name in known.names(settings) and not settings.disable_local_whisper:
        note(f"it is in WHISPER_MODEL: `python -m app models fetch {name}` downloads it again")


@click.group(help="Voices on this machine.")
def voices() -> None:
    """Has the commands for voices; those that are fetched are a directory in MODEL_DIR."""


@voices.command("list", help="The voices that speak here, or those of one LANGUAGE.")
@click.argument("language", required=False)
def list_voices(language: str | None) -> None:
    """Print a line for each: id, language, quality, name."""
    with engines.speech(replace(Settings.from_env(), disable_local_whisper=True)) as speech:
        for voice in speech.synthesis.voices(language):
            click.echo(f"{voice.id:24} {voice.language:8} {voice.quality:10} {voice.name}".rstrip())


@voices.command("fetch", help="Download voices; NAME is kokoro: natural, offline, 6 languages, 90 MB.")
@click.argument("name", type=click.Choice(["kokoro"]))
def fetch_voices(name: str) -> None:
    """Print the voices' directory; the status is 1 if they cannot be fetched."""
    from ..speech import fetch_kokoro
    from ..speech.fetch import FetchFailed

    settings = Settings.from_env()
    try:
        click.echo(fetch_kokoro.fetch(Path(settings.model_dir)))
    except FetchFailed as failure:
        note(failure)
        sys.exit(1)
    if not settings.kokoro:
        note("KOKORO=false: they do not speak")


@voices.command("remove", help="Delete the voices that were fetched.")
@click.argument("name", type=click.Choice(["kokoro"]))
def remove_voices(name: str) -> None:
    """Delete their directory."""
    directory = Path(Settings.from_env().model_dir) / name
    if not directory.is_dir():
        raise click.ClickException(f"no voices {name!r} are in {directory.parent}")
    known.remove(name, directory.parent)
    click.echo(f"removed {directory}")
