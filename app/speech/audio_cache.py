"""
Speech that was made once, kept on disk: bounded, least recently used out first, never an error.

Own code, because the library for it costs a web worker 4.4 MB from its first use on (diskcache 5.6.3:
sqlite, a connection for each thread), and reads pickles. An entry is one file:

    +-------+----------------------------------+----------------------+
    | audio | JSON: its size, CRC, what it is  | u32: length of JSON  |
    +-------+----------------------------------+----------------------+

It has no name until it is whole, so there are no half entries to find, and none are left by a process that is killed.
"""

import contextlib
import json
import logging
import os
import secrets
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from ..files import give_name, nameless

log = logging.getLogger(__name__)

LENGTH = struct.Struct(">I")
CHUNK_BYTES = 1 << 16
PART_SUFFIX, ENTRY_SUFFIX = ".part", ".speech"
ABANDONED_SECONDS = 3600  # a part this old has no writer any more


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of finished speech beside its bytes."""

    engine: str
    voice: str
    duration_seconds: float
    stand_in_until: float = 0.0  # Unix time; 0: not a stand-in for an engine that failed
    skipped: dict[str, int] = field(default_factory=dict)  # letters that are not spoken, by what they are


class Draft:
    """Speech while it is made: written once, then read, then kept or dropped. For one thread."""

    def __init__(self, file: IO[bytes], *, can_be_kept: bool) -> None:
        self._file, self.can_be_kept, self.size = file, can_be_kept, 0

    def write(self, audio: bytes) -> None:
        """Append; OSError when the disk is full."""
        self._file.write(audio)
        self.size += len(audio)

    def patch(self, patches: Iterable[tuple[int, bytes]]) -> None:
        """Overwrite what could not be known before the end."""
        for offset, written in patches:
            self._file.seek(offset)
            self._file.write(written)

    def finish(self, facts: Facts, path: Path) -> None:
        """Append what is known of it: it then is a whole entry, and has the name *path*."""
        header = json.dumps({"size": self.size, "crc": self._crc(), **asdict(facts)}).encode()
        self._file.seek(self.size)
        self._file.write(header + LENGTH.pack(len(header)))
        self._file.flush()
        give_name(self._file.fileno(), path)

    def read(self) -> Iterator[bytes]:
        """The audio in chunks, from its start."""
        yield from chunks(self._file, self.size)

    def _crc(self) -> int:
        crc = 0
        for chunk in chunks(self._file, self.size):
            crc = zlib.crc32(chunk, crc)
        return crc

    def close(self) -> None:
        """Drop what was not kept."""
        self._file.close()


@dataclass(slots=True)
class Hit:
    """An entry that was found whole; `close()` it."""

    facts: Facts
    size: int
    file: BinaryIO

    def read(self) -> Iterator[bytes]:
        """The audio in chunks."""
        yield from chunks(self.file, self.size)

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


class Cache:
    """
    Entries in *directory*, *limit_bytes* in all; 0 keeps nothing. Threads and workers may share a directory.

    What goes wrong with the disk is logged and is a miss.
    """

    def __init__(self, directory: Path, limit_bytes: int, *, clock: Callable[[], float] = time.time) -> None:
        self._directory, self.limit_bytes, self._clock = directory, limit_bytes, clock

    def find(self, key: str) -> Hit | None:
        """The entry of *key*, and it counts as used now; None where there is none that is whole."""
        if not self.limit_bytes:
            return None
        path = self._directory / (key + ENTRY_SUFFIX)
        try:
            file = path.open("rb")
        except OSError:
            return None
        hit = opened(file)
        if hit is None or 0 < hit.facts.stand_in_until < self._clock():
            file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return hit

    def draft(self) -> Draft:
        """A place to write to: in the cache, or where it keeps nothing or can't, a temporary file."""
        if self.limit_bytes:
            try:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                return Draft(nameless(str(self._directory), buffering=-1), can_be_kept=True)
            except OSError as error:
                log.warning("speech cache: %s can't be written to: %s", self._directory, error.strerror)
        return Draft(tempfile.TemporaryFile(), can_be_kept=False)

    def keep(self, key: str, draft: Draft, facts: Facts) -> None:
        """Make the finished *draft* the entry of *key*; it can still be read, and must still be closed."""
        if not draft.can_be_kept or draft.size > self.limit_bytes // 4:
            return
        part = self._directory / (
            secrets.token_hex(8) + PART_SUFFIX
        )  # to take the place of what has the key now
        try:
            draft.finish(facts, part)
            part.rename(self._directory / (key + ENTRY_SUFFIX))
        except OSError as error:
            log.warning("speech cache: nothing kept: %s", error.strerror)
            return
        self._shrink()

    def _shrink(self) -> None:
        """Remove the entries used longest ago until the rest fits, and parts that nobody finishes."""
        entries, total = [], 0
        with contextlib.suppress(OSError), os.scandir(self._directory) as found:
            for item in found:
                with contextlib.suppress(OSError):
                    status = item.stat()
                    if item.name.endswith(ENTRY_SUFFIX):
                        entries.append((status.st_mtime, status.st_size, item.path))
                        total += status.st_size
                    elif status.st_mtime < self._clock() - ABANDONED_SECONDS:
                        os.unlink(item.path)
        for _, size, path in sorted(entries):
            if total <= self.limit_bytes:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size


def opened(file: BinaryIO) -> Hit | None:
    """The entry in *file*; None when it is not whole."""
    try:
        end = file.seek(-LENGTH.size, os.SEEK_END)
        (length,) = LENGTH.unpack(file.read(LENGTH.size))
        size = end - length
        file.seek(size)
        header = json.loads(file.read(length))
        crc = 0
        for chunk in chunks(file, size):
            crc = zlib.crc32(chunk, crc)
        if header.pop("size") != size or header.pop("crc") != crc:
            return None
        return Hit(Facts(**header), size, file)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The first *size* bytes of *file*."""
    file.seek(0)
    while size > 0:
        chunk = file.read(min(size, CHUNK_BYTES))
        if not chunk:
            return
        size -= len(chunk)
        yield chunk
