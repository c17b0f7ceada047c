"""
What workers share: a region of memory for each, made by gunicorn's master before it forks.

    | workers started, u64 | last change of each worker's counters, f64 | ... to the end of the page |
    | worker 0: snapshots | errors | slow | refusals | samples | addresses |
    | worker 1: ...

Anonymous memory, so there is no file to remove, and a page weighs nothing until it is written to.
"""

from __future__ import annotations

import glob
import mmap
import os
import shutil
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

from .addresses import TABLE_BYTES
from .rings import Ring

RINGS_BYTES = {
    "snapshots": 1 << 18,
    "errors": 1 << 14,
    "slow": 1 << 15,
    "refusals": 1 << 14,
    "samples": 1 << 16,
}
REGION_BYTES = sum(RINGS_BYTES.values()) + mmap.PAGESIZE  # the last page has the addresses
STARTS = struct.Struct("<Q")
CHANGED = struct.Struct("<d")
MOST_PLACES = mmap.PAGESIZE // CHANGED.size - 1


class Board:
    """
    The memory of all *places*. One worker writes to a place, every worker reads all of them.

    A worker that is replaced leaves its place, with what is in it, to its successor.
    """

    def __init__(self, places: int = 1) -> None:
        self.places = places
        self._memory = memoryview(mmap.mmap(-1, mmap.PAGESIZE + places * REGION_BYTES))

    def ring(self, name: str, place: int) -> Ring:
        """The ring called *name* (of RINGS_BYTES) of the worker at *place*."""
        at = mmap.PAGESIZE + place * REGION_BYTES
        for other, size in RINGS_BYTES.items():
            if other == name:
                return Ring(self._memory[at : at + size])
            at += size
        raise KeyError(name)

    def addresses(self, place: int) -> memoryview:
        """Where the worker at *place* counts addresses."""
        at = mmap.PAGESIZE + (place + 1) * REGION_BYTES - mmap.PAGESIZE
        return self._memory[at : at + TABLE_BYTES]

    def changed(self, place: int) -> float:
        """When the worker at *place* last counted something (Unix time); 0: never."""
        return float(CHANGED.unpack_from(self._memory, CHANGED.size * (place + 1))[0])

    def set_changed(self, place: int, now: float) -> None:
        """The worker at *place* counts something now."""
        at = CHANGED.size * (place + 1)
        self._memory[at : at + CHANGED.size] = CHANGED.pack(now)

    def count_start(self) -> None:
        """One more worker was started; only the master calls this."""
        self._memory[: STARTS.size] = STARTS.pack(self.starts + 1)

    @property
    def starts(self) -> int:
        """How many workers were started so far."""
        return int(STARTS.unpack_from(self._memory)[0])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker writes; *directory* has the counters of all workers where there are several."""

    board: Board
    number: int = 0
    directory: str | None = None


class Places:
    """
    Gives each worker a place; owned by gunicorn's master, from its start to its end.

    With several workers their counters are in files of a private directory, because prometheus_client adds
    up files; it is in memory where the system has such a file system, and gone with the master.
    """

    def __init__(self, workers: int) -> None:
        # Twice as many: at a reload the new workers start before the old ones leave.
        self.board = Board(min(2 * workers, MOST_PLACES))
        self.directory: str | None = None
        if workers > 1:
            memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (mkdtemp's own 0700)
            self.directory = tempfile.mkdtemp(prefix="pam-voice-", dir=memory)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = self.directory  # where prometheus_client looks

    def free(self, taken: Iterable[int]) -> int:
        """The number for a new worker, beside those that are *taken*: the lowest that is free."""
        self.board.count_start()
        return min(set(range(self.board.places)) - set(taken), default=0)

    def enter(self, number: int) -> None:
        """Be the worker at that place; called after the fork, before there is an app."""
        inherited.append(Place(self.board, number, self.directory))

    def left(self, number: int) -> None:
        """The worker at that place ended: what it was doing is not being done any more."""
        for gauges in glob.glob(f"{self.directory}/gauge_*_{number}.db") if self.directory else ():
            os.unlink(gauges)

    def close(self) -> None:
        """No worker is left."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)


# gunicorn calls the factory without an argument: this is how a fork learns where it belongs.
inherited: list[Place] = []


def here() -> Place:
    """The place this worker was given; one of its own where it has no master."""
    return inherited[-1] if inherited else Place(Board())
