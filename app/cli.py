"""`python -m app ...`: what is done by hand, and while a host builds."""

import sys
from pathlib import Path

import click

from .config import ConfigError, Settings


@click.group()
def cli() -> None:
    """The speech service's own commands."""


@cli.group("models")
def models_group() -> None:
    """Speech-to-text models on this machine."""


@models_group.command("fetch")
@click.argument("name", required=False)
def fetch_model(name: str | None) -> None:
    """Have the model NAME, by default the one that is set, on this machine; once."""
    from .services import budget_mb
    from .voice import fetch, models

    settings = _settings()
    if settings.disable_local_whisper and name is None:
        click.echo("local Whisper is disabled: no model is needed")
        return
    wish = name or settings.whisper_model
    room_mb = models.room_mb(budget_mb(settings) / settings.web_concurrency, settings.memory_reserve_mb)
    names = models.that_fit(room_mb) if wish == models.AUTO else [wish]
    for candidate in names:
        try:
            click.echo(fetch.fetch(candidate, Path(settings.model_dir)))
            return
        except fetch.FetchFailed as failure:
            click.echo(failure, err=True)
    sys.exit(1)


@models_group.command("list")
def list_models() -> None:
    """The models that are known, what each costs, and which are here."""
    from .voice import models

    here = models.installed(Path(_settings().model_dir))
    for model in models.CATALOGUE.values():
        cost = f"{model.cost_mb} MB ({model.cost_is})"
        click.echo(f"{model.name:18} {cost:20} {'installed' if model.name in here else ''}".rstrip())


def _settings() -> Settings:
    try:
        return Settings.from_env()
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
