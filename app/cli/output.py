"""Where results go: a file that is there whole or not at all, or standard output."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click

STANDARD = "-"


def destination(context: click.Context, option: click.Parameter, out: str) -> str:
    """*out*, refused before the work begins where no file can be made there."""
    path = Path(out)
    if out != STANDARD and path.is_dir():
        raise click.BadParameter(f"{out} is a directory")
    if out != STANDARD and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"{path.parent} is not a directory")
    return out


def write(out: str, chunks: Iterable[bytes]) -> None:
    """Write *chunks* to the file *out*, or as they come to standard output where it is "-"."""
    path = Path(out)
    if out == STANDARD:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():  # a pipe or a device can't be replaced
        with path.open("wb") as device:
            device.writelines(chunks)
    else:
        _replace(path, chunks)


def _replace(path: Path, chunks: Iterable[bytes]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.writelines(chunks)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
