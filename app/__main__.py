"""`python -m app`: the commands."""

from .cli import cli

cli(prog_name="python -m app")
