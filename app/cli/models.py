"""`models list | fetch | remove`."""

import shutil
import sys
from pathlib import Path

import click

from ..config import Settings


@click.group(help="Speech-to-text models on this machine.")
def models() -> None:
    """Has the commands for models; each model is a directory in MODEL_DIR."""


@models.command("fetch", help="Download the model NAME, by default the one that is set, unless it is here.")
@click.argument("name", required=False)
def fetch_model(name: str | None) -> None:
    """Print the model's directory; the status is 1 if the model cannot be fetched."""
    from ..engine.budget import budget_mb
    from ..speech import fetch
    from ..speech import models as known

    settings = Settings.from_env()
    if settings.disable_local_whisper and name is None:
        click.echo("local Whisper is disabled: no model is needed")
        return
    wanted = name or settings.whisper_model
    room_mb = known.room_mb(budget_mb(settings) / settings.web_concurrency, settings.memory_reserve_mb)
    names = (
        known.fitting(room_mb - known.SESSION_MB * settings.engine_seats)
        if wanted == known.AUTO
        else [wanted]
    )
    for candidate in names:
        try:
            click.echo(fetch.fetch(candidate, Path(settings.model_dir)))
            return
        except fetch.FetchFailed as failure:
            click.echo(failure, err=True)
    sys.exit(1)


@models.command("list", help="The models that are known, the memory each needs, and which are here.")
def list_models() -> None:
    """Print a line for each: name, cost, "installed"."""
    from ..speech import models as known

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
    from ..speech import models as known

    settings = Settings.from_env()
    model_dir = Path(settings.model_dir)
    installed = known.installed(model_dir)
    if name not in installed:
        known_here = ", ".join(installed) or "none"
        raise click.ClickException(f"no model {name!r} is in {model_dir}; installed: {known_here}")
    # Renamed first, to a name that a fetch in progress has: nobody ever sees half a model.
    removed = model_dir / f".{name}.removed"
    shutil.rmtree(removed, ignore_errors=True)
    (model_dir / name).rename(removed)
    shutil.rmtree(removed)
    click.echo(f"removed {model_dir / name}")
    if name == settings.whisper_model and not settings.disable_local_whisper:
        click.echo(f"it is WHISPER_MODEL: `python -m app models fetch {name}` downloads it again", err=True)
