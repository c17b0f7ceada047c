"""`python -m app ...`: commands for people and builds. Results go to standard output, messages to standard error."""

import errno
import io
import sys
from typing import Any

import click

from ..config import ConfigError
from ..errors import ServiceError
from .config import config
from .doctor import doctor
from .memory import memory
from .models import models, voices
from .voice import speak, transcribe

INTERRUPTED = 130  # the status that shells give a program that SIGINT ended


class Commands(click.Group):
    """Prints an error as one line and exits with status 1; with 2 if the command line is wrong."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command; returns what click's own method returns."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="surrogateescape")  # a file's name need not be UTF-8
        try:
            return super().invoke(context)
        except (ServiceError, ConfigError) as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of a pipe has closed it, which click handles
                raise
            path = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{path}{error.strerror or error}") from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Commands of the speech service; only `memory` needs a running server.",
)
def cli() -> None:
    """Has all commands. Their help is an argument: under PYTHONOPTIMIZE=2 click would find no docstrings."""


for command in (doctor, transcribe, speak, models, voices, memory, config):
    cli.add_command(command)
