"""
The image the Dockerfile makes: its steps, run in a clean Debian without Docker, the service in it, and its size.

`sudo .venv/bin/python -m benchmarks.image [--copy DIRECTORY]` needs root, debootstrap, and 3 GB in the system's
temporary directory; it takes some minutes, so `make bench` leaves it out. The base is Debian with its Python instead
of python:3.11-slim; --copy takes a directory of this machine along, such as its certificates.
"""

import argparse
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .recordings import KEPT, ROOT
from .table import HEADING, Row

BASE = KEPT / "debian"
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
START_LIMIT_SECONDS = 60
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass
class Stage:
    """What one FROM begins: a root directory and what the instructions after it have set."""

    root: Path
    folder: str = "/"
    user: str = "root"
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH, "HOME": "/root"})
    command: list[str] = field(default_factory=list)
    health_check: list[str] = field(default_factory=list)

    def started(self, command: list[str], **environment: str) -> "subprocess.Popen[bytes]":
        """*command* inside, as the user and where the instructions say."""
        into = ["chroot", f"--userspec={self.user}", str(self.root), "/bin/sh", "-c", 'cd "$0" && exec "$@"']
        return subprocess.Popen(
            [*into, self.folder, *command], env={**self.environment, **environment}, stdout=sys.stderr
        )

    def run(self, command: list[str]) -> None:
        """*command* inside, to its end; an error when it failed."""
        with self.started(command) as process:
            if process.wait():
                raise SystemExit(f"{shlex.join(command)} failed with {process.returncode}")


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Each instruction's word and the rest of its line, continued lines joined, comments left out."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.startswith("#")]
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        yield word, rest.strip()


def built(dockerfile: str, work: Path, copied: list[str]) -> Stage:
    """The last stage, every instruction done."""
    stages: dict[str, Stage] = {}
    for word, rest in instructions(dockerfile):
        if word == "FROM":
            name = rest.partition(" AS ")[2] or "last"
            stages[name] = stage = Stage(work / name)
            begin(stage.root, copied)
        elif word == "WORKDIR":
            stage.folder = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "RUN":
            stage.run(["/bin/sh", "-c", rest])
        elif word == "COPY":
            copy(rest, stage, stages)
        elif word in ("ENV", "ARG"):
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                stage.environment[name] = value.replace("$PATH", stage.environment["PATH"])
        elif word == "USER":
            stage.user = rest
            stage.environment["HOME"] = f"/home/{rest}"  # from passwd, as Docker does
        elif word == "CMD":
            stage.command = json.loads(rest)
        elif word == "HEALTHCHECK":
            stage.health_check = json.loads(rest.partition("CMD ")[2])
        elif word != "EXPOSE":
            raise SystemExit(f"{word} is not known here")
    return stage


def begin(root: Path, copied: list[str]) -> None:
    """A copy of the base, with the machine's network and kernel in it."""
    subprocess.run(["cp", "-a", str(BASE), str(root)], check=True)
    for name in ("etc/resolv.conf", "etc/pip.conf"):
        if Path("/", name).exists():
            (root / name).write_bytes(Path("/", name).read_bytes())
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for place in copied:
        (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", f"{place}/.", str(root / place.lstrip("/"))], check=True)
    for place in ("proc", "dev"):
        subprocess.run(["mount", "--bind", f"/{place}", str(root / place)], check=True)
    subprocess.run(["mount", "--bind", "/dev/shm", str(root / "dev/shm")], check=True)


def copy(rest: str, stage: Stage, stages: dict[str, Stage]) -> None:
    """As COPY does: a directory's contents, not the directory, unless it is named together with its target."""
    words = rest.split()
    source = ROOT
    if words[0].startswith("--from="):
        source = stages[words.pop(0).partition("=")[2]].root
    *names, target = words
    place = stage.root / (target if target.startswith("/") else f"{stage.folder}/{target}").lstrip("/")
    for name in names:
        path = source / name.lstrip("/")
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", "--no-preserve=ownership", f"{path}/.", str(place)], check=True)
        else:
            into = place / path.name if target.endswith(("/", ".")) else place
            subprocess.run(["cp", "--preserve=mode", str(path), str(into)], check=True)


def measure(work: Path, copied: list[str]) -> Iterator[Row]:
    """Build, weigh, start as the user it names, ask for its health, and have every endpoint answer."""
    began = time.monotonic()
    image = built((ROOT / "Dockerfile").read_text(), work, copied)
    yield Row("image: its steps in a clean Debian", time.monotonic() - began, "s")
    for name in ("venv", "srv/models", "srv/app"):
        sized = subprocess.run(
            ["du", "-sm", str(image.root / name)], capture_output=True, text=True, check=True
        )
        yield Row(f"image: /{name}", int(sized.stdout.split()[0]), "MB")
    yield from served(image)


def served(image: Stage) -> Iterator[Row]:
    """What it does once started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    given = {"HOST": "127.0.0.1", "PORT": port, "API_KEYS": "a-key-for-the-smoke-test"}
    began = time.monotonic()
    service = image.started(image.command, **given)
    try:
        while (checked := image.started(image.health_check, **given)).wait():
            if time.monotonic() > began + START_LIMIT_SECONDS or service.poll() is not None:
                raise SystemExit(f"not healthy: {checked.returncode}")
            time.sleep(0.05)
        yield Row("image: start to healthy", (time.monotonic() - began) * 1000, "ms")
        environment = {**os.environ, "API_KEY": given["API_KEYS"]}
        smoke = [str(ROOT / "scripts" / "smoke.sh"), f"http://127.0.0.1:{port}"]
        said = subprocess.run(smoke, env=environment, stdout=subprocess.PIPE, text=True).stdout
        print(said, file=sys.stderr)
        yield Row("image: smoke test, lines that fail", said.count("\nFAIL "), "", 0)
        yield Row("image: processes that run as root", owned_by_root(service.pid), "", 0)
    finally:
        service.terminate()
        service.wait(40)


def owned_by_root(pid: int) -> int:
    """How many of *pid* and its children belong to root."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(Path(f"/proc/{each}").stat().st_uid == 0 for each in (pid, *children))


def main() -> int:
    """
    Run `measure` in a mount name space of its own, and remove what it made from outside of it.

    From there none of its mounts is seen: removing goes through no mount into the machine's own files.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copy", action="append", default=[], metavar="DIRECTORY")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(HEADING)
        for row in measure(options.inside, options.copy):
            print(row, flush=True)
        return 0
    if not BASE.exists():
        KEPT.mkdir(exist_ok=True)
        packages = "--include=python3,python3-venv,ca-certificates"
        command = ["debootstrap", "--variant=minbase", packages, SUITE, str(BASE), MIRROR]
        subprocess.run(command, check=True, stdout=sys.stderr)
    work = tempfile.mkdtemp(prefix="image-", dir=KEPT)
    try:
        inside = [sys.executable, "-m", "benchmarks.image", "--inside", work, *sys.argv[1:]]
        return subprocess.run(["unshare", "--mount", "--propagation", "private", *inside]).returncode
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", work], check=True)


if __name__ == "__main__":
    raise SystemExit(main())
