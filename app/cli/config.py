"""`config`: the settings, and where each comes from."""

import dataclasses
import json
import os
from urllib.parse import urlsplit

import click

from ..config import Settings, env_file, shown
from ..startup import ignored, read_settings

HIDDEN = "***"


@click.command(help="The settings and where each comes from; secrets are masked.")
@click.option("--changed", is_flag=True, help="Only those that are not the default.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def config(changed: bool, as_json: bool) -> None:
    """Print a line for each, in the form of `.env`."""
    settings = read_settings()
    for sentence in ignored(settings):
        click.echo(f"Warning: {sentence}", err=True)
    rows = [row for row in effective(settings) if not changed or row[2] != "default"]
    if as_json:
        values = {name: {"value": value, "from": source} for name, value, source in rows}
        click.echo(json.dumps(values, indent=2))
        return
    for name, value, source in rows:
        click.echo(f"{name}={value}" + ("" if source == "default" else f"  # {source}"))


def effective(settings: Settings) -> list[tuple[str, str, str]]:
    """Name, value as it may be seen, and "environment", ".env", "host" or "default", of every setting."""
    written = env_file()
    rows = []
    for field in dataclasses.fields(Settings):
        name, value = field.name.upper(), getattr(settings, field.name)
        if os.environ.get(name, "").strip():
            source = "environment"
        elif name not in os.environ and written.get(name, "").strip():
            source = ".env"
        else:
            source = "default" if value == field.default else "host"
        text = masked(shown(value))
        is_key = field.metadata["secret"] and not name.endswith(("_URL", "_DSN"))
        rows.append((name, HIDDEN if is_key and text else text, source))
    return rows


def masked(value: str) -> str:
    """*value*, without its secrets where it is an address: the host and the path remain."""
    if "://" in value:
        address = urlsplit(value)
        host = address.netloc.rpartition("@")[2]
        user = f"{HIDDEN}@" if "@" in address.netloc else ""
        query = f"?{HIDDEN}" if address.query else ""
        return f"{address.scheme}://{user}{host}{address.path}{query}"
    return value
