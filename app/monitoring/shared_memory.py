"""
What workers share: a region of memory for each, made by gunicorn's master before it forks.

    | workers started, f64 | last change of each worker's counters, f64 | ... half a page on: its live sessions, f64 |
    | worker 0: counters | gauges | snapshots | errors | slow | refusals | addresses | samples |
    | worker 1: ...

Anonymous memory, so there is no file to remove, and a page weighs nothing until it is written to.
"""

from __future__ import annotations

import json
import logging
import mmap
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

# A table takes 1,900 series: every route with every method and ten statuses are 1,400. One ring for each kind of
# event, so that a scan of a thousand unknown paths drives out no error.
BYTES = {
    "counters": 1 << 18,
    "gauges": 1 << 13,
    "snapshots": 1 << 18,
    "errors": 1 << 14,
    "slow": 1 << 15,
    "refusals": 1 << 14,
    "addresses": 1 << 15,  # of the last 800 refusals
    "samples": 1 << 16,
}
REGION_BYTES = sum(BYTES.values())
HEADER = struct.Struct("<QQ")  # where the oldest record begins, where the next one goes; both only grow
RECORD = struct.Struct("<IId")  # length of the JSON, its CRC, when it was written (Unix time)
MOST_SLOTS = mmap.PAGESIZE // 16 - 1


LONGEST_ROW = 64  # numbers


class Table:
    """
    Rows of numbers, each under a key of words: a counter, a gauge, or a histogram's buckets.

        | bytes of all keys, u64 | numbers, f64 ... | a line of JSON for each row: how many numbers, the key |

    Rows are only added. One process writes, a thread at a time, with one object; who reads makes another.
    """

    def __init__(self, memory: memoryview) -> None:
        half = len(memory) // 2
        self._length = memory[:8].cast("Q")
        self.numbers: memoryview[float] = memory[8:half].cast("d")
        self._keys = memory[half:]
        self._end, self._most = 0, len(self.numbers) - LONGEST_ROW
        self._rows: dict[tuple[str, ...], slice] = {}
        for line in self._keys[: self._length[0]].tobytes().splitlines():
            size, *key = json.loads(line)
            self._rows[tuple(key)] = slice(self._end, self._end + size)
            self._end += size

    def row(self, key: tuple[str, ...], size: int) -> int:
        """Where the *size* numbers under *key* begin; added, as zeros, where they are not there yet."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._add(key, size)
        begin: int = row.start
        return begin

    def _add(self, key: tuple[str, ...], size: int) -> slice:
        line = json.dumps([size, *key], separators=(",", ":")).encode() + b"\n"
        row, length = slice(self._end, self._end + size), self._length[0]
        if row.stop > self._most or length + len(line) > len(self._keys):
            log.warning("there is no room to count %s", " ".join(key))
            return slice(self._most, self._most + size)  # which nobody reads
        self._keys[length : length + len(line)] = line
        self._length[0] = length + len(line)
        self._end = row.stop
        return row

    def read(self) -> dict[tuple[str, ...], list[float]]:
        """Every row there was when this object was made, and those it added."""
        return {key: [*self.numbers[row]] for key, row in self._rows.items() if row.start < self._most}

    def clear(self) -> None:
        """Make every number zero."""
        self.numbers[:] = memoryview(bytes(self.numbers.nbytes)).cast("d")


class Record(NamedTuple):
    """What was written, and when (Unix time)."""

    time: float
    text: bytes

    @property
    def content(self) -> Any:  # what JSON holds
        """What was written, read anew each time: of a whole ring, 256 KB would be 2 MB."""
        return json.loads(self.text)


class Ring:
    """
    The last records that fit into *memory*; older ones make room.

    One process writes, its threads in turn; any process that has the memory reads. There is no lock between
    processes, which a killed one could leave taken: the reader checks what it reads.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory, self.size_bytes = memory, len(memory) - HEADER.size
        self._lock = threading.Lock()

    def append(self, content: object, now: float) -> int:
        """Write a record; its size in bytes. One that is larger than a quarter of the ring is left out."""
        text = json.dumps(content, separators=(",", ":")).encode()
        record = RECORD.pack(len(text), zlib.crc32(text), now) + text
        if len(record) > self.size_bytes // 4:
            return 0
        with self._lock:
            oldest, end = HEADER.unpack_from(self._memory)
            while end + len(record) - oldest > self.size_bytes:
                oldest += RECORD.size + RECORD.unpack(self._read(self._memory, oldest, RECORD.size))[0]
            # First out with the old, last in with the new: what a reader finds between the two is whole.
            self._memory[: HEADER.size] = HEADER.pack(oldest, end)
            self._write(end, record)
            self._memory[: HEADER.size] = HEADER.pack(oldest, end + len(record))
        return len(record)

    def since(self, begin: float) -> Record | None:
        """The last record of *begin* or before, else the first there is: where what happened since then starts."""
        found = None
        for record in self.records():
            if found is not None and record.time > begin:
                break
            found = record
        return found

    def records(self) -> Iterator[Record]:
        """What is in it, oldest first."""
        copy = self._memory.tobytes()
        _, end = HEADER.unpack_from(copy)
        at, _ = HEADER.unpack_from(self._memory)  # what was overwritten during the copy is before it
        while at < end:
            length, crc, time = RECORD.unpack(self._read(copy, at, RECORD.size))
            text = self._read(copy, at + RECORD.size, length)
            if zlib.crc32(text) != crc:  # not whole
                return
            yield Record(time, text)
            at += RECORD.size + length

    def _read(self, memory: memoryview | bytes, at: int, length: int) -> bytes:
        begin = HEADER.size + at % self.size_bytes
        first = bytes(memory[begin : begin + length])
        rest = length - len(first)
        return first + bytes(memory[HEADER.size : HEADER.size + rest]) if rest else first

    def _write(self, at: int, record: bytes) -> None:
        begin = HEADER.size + at % self.size_bytes
        first = record[: HEADER.size + self.size_bytes - begin]
        self._memory[begin : begin + len(first)] = first
        rest = record[len(first) :]
        self._memory[HEADER.size : HEADER.size + len(rest)] = rest


class SharedMemory:
    """
    The memory of all *slots*. One worker writes to a slot, every worker reads all of them.

    A worker that is replaced leaves its slot, with what is in it, to its successor.
    """

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self._memory = memoryview(mmap.mmap(-1, mmap.PAGESIZE + slots * REGION_BYTES))
        figures = self._memory[: mmap.PAGESIZE].cast("d")
        self.started = figures[:1]  # how many workers were, so far; only the master counts them
        half = len(figures) // 2
        self.changed = figures[1:half]  # when the worker in each slot counted something (Unix time); 0: never
        self.live = figures[half:]  # how many live sessions it has

    def table(self, name: str, slot: int) -> Table:
        """The table called *name* of the worker in *slot*."""
        return Table(self._part(name, slot))

    def ring(self, name: str, slot: int) -> Ring:
        """The ring called *name* of the worker in *slot*."""
        return Ring(self._part(name, slot))

    def _part(self, name: str, slot: int) -> memoryview:
        at = mmap.PAGESIZE + slot * REGION_BYTES
        for other, size in BYTES.items():
            if other == name:
                return self._memory[at : at + size]
            at += size
        raise KeyError(name)

    def records(self, name: str, begin: float) -> list[Record]:
        """What the rings called *name* of all workers hold since *begin* (Unix time), oldest first."""
        found = [record for slot in range(self.slots) for record in self.ring(name, slot).records()]
        return sorted((record for record in found if record.time >= begin), key=lambda record: record.time)

    @property
    def starts(self) -> int:
        """How many workers were started so far."""
        return int(self.started[0])


class WorkerSlot(NamedTuple):
    """Where a worker writes."""

    memory: SharedMemory
    number: int = 0


class WorkerSlots:
    """Gives each worker a slot; owned by gunicorn's master."""

    def __init__(self, workers: int) -> None:
        # Twice as many: at a reload the new workers start before the old ones leave.
        self.memory = SharedMemory(min(2 * workers, MOST_SLOTS))

    def assign(self, taken: Iterable[int]) -> int:
        """The number for a new worker, beside those that are *taken*: the lowest that is free."""
        self.memory.started[0] += 1
        return min(set(range(self.memory.slots)) - set(taken), default=0)

    def enter(self, number: int) -> None:
        """Be the worker in that slot; called after the fork, before there is an app."""
        inherited.append(WorkerSlot(self.memory, number))

    def release(self, number: int) -> None:
        """The worker in that slot ended: what it was doing is not being done any more."""
        self.memory.live[number] = 0
        self.memory.table("gauges", number).clear()


# gunicorn calls the factory without an argument: this is how a fork learns where it belongs.
inherited: list[WorkerSlot] = []


def own_slot() -> WorkerSlot:
    """The slot this worker was given; one of its own where it has no master."""
    return inherited[-1] if inherited else WorkerSlot(SharedMemory())
