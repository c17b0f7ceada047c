"""Writes results to a file that appears whole or not at all, or to standard output."""

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from ..files import atomic_write

STANDARD = "-"


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
