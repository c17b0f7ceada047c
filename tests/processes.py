"""Waiting for other processes, with a limit; the ports they listen on, and whose children they are."""

import contextlib
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0  # what takes a second takes twenty where eight others want the same two processors
# Below the ports the kernel gives to outgoing connections (32768 and up): one of those may not take it in between.
PORTS = range(20_000, 32_000)


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
        port = random.SystemRandom().choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


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
