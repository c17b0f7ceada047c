"""Bounded records in memory that all workers share: what was last, from whichever worker it came."""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

HEADER = struct.Struct("<QQ")  # where the oldest record begins, where the next one goes; both only grow
RECORD = struct.Struct("<IId")  # length of the JSON, its CRC, when it was written (Unix time)


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
        self._memory, self._size = memory, len(memory) - HEADER.size
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """How much fits."""
        return self._size

    def append(self, content: object, now: float) -> int:
        """Write a record; its size in bytes. One that is larger than a quarter of the ring is left out."""
        text = json.dumps(content, separators=(",", ":")).encode()
        record = RECORD.pack(len(text), zlib.crc32(text), now) + text
        if len(record) > self._size // 4:
            return 0
        with self._lock:
            oldest, end = HEADER.unpack_from(self._memory)
            while end + len(record) - oldest > self._size:
                oldest += RECORD.size + RECORD.unpack(self._read(self._memory, oldest, RECORD.size))[0]
            # First out with the old, last in with the new: what a reader finds between the two is whole.
            self._memory[: HEADER.size] = HEADER.pack(oldest, end)
            self._write(end, record)
            self._memory[: HEADER.size] = HEADER.pack(oldest, end + len(record))
        return len(record)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._memory[: HEADER.size] = bytes(HEADER.size)

    def since(self, begin: float) -> Record | None:
        """
        The last record of *begin* or before, else the first there is: where what happened since then starts.

        Read in place, one record at a time: the copy `records` makes would stay in each thread's heap.
        """
        found = None
        at, end = HEADER.unpack_from(self._memory)
        while at < end:
            record = self._record(self._memory, at)
            oldest, newest = HEADER.unpack_from(self._memory)
            if oldest > at:  # overwritten while it was read
                at, end = oldest, newest
            elif record is None or (found is not None and record.time > begin):
                break
            else:
                found = record
                at += RECORD.size + len(record.text)
        return found

    def records(self) -> list[Record]:
        """What is in it, oldest first."""
        copy = self._memory.tobytes()
        _, end = HEADER.unpack_from(copy)
        oldest, _ = HEADER.unpack_from(self._memory)  # what was overwritten during the copy is past it
        return list(self._whole(copy, oldest, end))

    def _whole(self, copy: bytes, at: int, end: int) -> Iterator[Record]:
        while at < end and (record := self._record(copy, at)) is not None:
            yield record
            at += RECORD.size + len(record.text)

    def _record(self, memory: memoryview | bytes, at: int) -> Record | None:
        """What was written there; None when it is not whole."""
        length, crc, time = RECORD.unpack(self._read(memory, at, RECORD.size))
        text = self._read(memory, at + RECORD.size, length)
        return Record(time, text) if zlib.crc32(text) == crc else None

    def _read(self, memory: memoryview | bytes, at: int, length: int) -> bytes:
        begin = HEADER.size + at % self._size
        first = bytes(memory[begin : begin + length])
        rest = length - len(first)
        return first + bytes(memory[HEADER.size : HEADER.size + rest]) if rest else first

    def _write(self, at: int, record: bytes) -> None:
        begin = HEADER.size + at % self._size
        first = record[: HEADER.size + self._size - begin]
        self._memory[begin : begin + len(first)] = first
        rest = record[len(first) :]
        self._memory[HEADER.size : HEADER.size + len(rest)] = rest
