"""Waiting for other processes, with a limit; the ports they listen on, and whose children they are."""

import contextlib
import itertools
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

Found = TypeVar("Found")

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 120.0  # what takes a second takes twenty where eight others want the same two processors
# Below the ports the kernel gives to outgoing connections (32768 and up): one of those may not take it in between.
# Nor may tests that run beside these take it: each process of pytest-xdist has ports of its own, and takes one once.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
_workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
PORTS = range(20_000, 32_000)[int(_worker.removeprefix("gw")) :: int(_workers)]
_next_port = itertools.cycle(random.sample(PORTS, len(PORTS)))


def until(
    look: Callable[[], Found],
    what: str,
    seconds: float = PATIENCE_SECONDS,
    *,
    said: Callable[[], str] = str,
) -> Found:
    """
    What *look* finds, once that is true; AssertionError after *seconds*, with *what* was awaited.

    *said* tells more then, such as a log. `raise`, not `assert`: without asserts this would wait for ever.
    """
    limit = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > limit:
            raise AssertionError(f"waited {seconds:g} s in vain: {what}\n{said()}".rstrip())
        time.sleep(POLL_SECONDS)
    return found


def free_port() -> int:
    """A port on the loopback interface that nobody listens on."""
    while True:
        port = next(_next_port)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def written(file: IO[str]) -> str:
    """
    All that a process has written into *file*, which is its output.

    Read at a place of its own: after `seek` here the process, too, would write there, over the first lines.
    """
    descriptor = file.fileno()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")


def children(pid: int) -> list[int]:
    """The processes *pid* has started; none where it has ended."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    """Its children, theirs, and so on."""
    found = children(pid)
    return [*found, *(pid for child in found for pid in descendants(child))]


def has_ended(pid: int) -> bool:
    """Whether a process is no more, or a zombie: one in a container that lost its parent may stay that."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return said.rpartition(")")[2].split()[0] in "ZX"
