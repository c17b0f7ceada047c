"""`python -m app ...`: what is done by hand, and while a host builds. Results go to standard output, all else not."""

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
from .models import models
from .speak import speak
from .transcribe import transcribe

INTERRUPTED = 130  # what shells give a program that SIGINT ended


class Commands(click.Group):
    """Says what went wrong in one line and leaves with 1; with 2 when the command line is at fault."""

    def invoke(self, context: click.Context) -> Any:  # whatever click's own returns
        """Run the command that was named."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="surrogateescape")  # a file's name need not be UTF-8
        try:
            return super().invoke(context)
        except (ServiceError, ConfigError) as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # click's to handle: whoever read the output has enough
                raise
            place = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{place}{error.strerror or error}") from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Commands of the speech service; only `memory` needs a running server.",
)
def cli() -> None:
    """All commands. Their help is an argument: under PYTHONOPTIMIZE=2 click would find no docstrings."""


for command in (doctor, transcribe, speak, models, memory, config):
    cli.add_command(command)
