"""
Audio of speech, as the caller gets it, and as it is kept on disk for the same request again.

The cache is bounded, least recently used out first, and never an error; docs/decisions/0027 says why it is our own. An
entry is a file of INFO_BYTES of JSON and the audio. It has no name until it is whole, so there are no half entries to
find, and none are left by a process that is killed.
"""

import contextlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from ..files import disk_of, give_name, nameless, write_all
from .formats import AUDIO

log = logging.getLogger(__name__)

INFO_BYTES = 1024  # before the audio of an entry; the counts of all scripts fit in
CHUNK_BYTES = 1 << 16
ENTRY_SUFFIX = ".audio"
ABANDONED_SECONDS = 3600  # a part this old has no writer any more


class AudioInfo(NamedTuple):
    """What is known of finished audio: its length, letters it lacks, until when it may stand in for a better voice."""

    duration_seconds: float
    skipped: Mapping[str, int] = {}
    stand_in_until: float = 0.0  # Unix time; 0: the first choice spoke


@dataclass(slots=True)
class SynthesisResult:
    """
    Audio in chunks, and who spoke; iterate it once, then `close()` it, which also cancels what is to come.

    *fallback* has "engine: reason" for each that could not; *skipped* counts the letters and digits that are not
    spoken, by what they are: "code", "address" or a script. *duration_seconds* and *size_bytes* are None
    while the audio is still being made, and of streamed audio the size stays so; *etag* then is a weak one, because
    the header of a stored file says how long it is, and that of a streamed one can't.
    """

    engine: str
    voice: str
    format: str
    fallback: tuple[str, ...]
    etag: str
    audio: Iterator[bytes]
    close: Callable[[], None]
    cached: bool = False
    skipped: Mapping[str, int] = field(default_factory=dict)
    duration_seconds: float | None = None
    size_bytes: int | None = None
    # And their seconds, where these were asked for and are known.
    words: Sequence[tuple[str, float, float]] | None = None

    @property
    def media_type(self) -> str:
        """What `Content-Type` says."""
        return AUDIO[self.format].media_type

    @property
    def not_spoken(self) -> str:
        """What `X-TTS-Skipped` says: "code=20, tibetan=2"."""
        return ", ".join(f"{what}={letters}" for what, letters in self.skipped.items())


class CacheWriter:
    """
    A file for audio while it is made: written once, then read, then kept or dropped. For one thread.

    Where the cache's disk takes no more, what there is moves to a temporary file, and nothing is kept.
    """

    def __init__(self, file: IO[bytes], *, can_be_kept: bool) -> None:
        self._file, self.can_be_kept, self.size = file, can_be_kept, 0
        file.seek(INFO_BYTES)

    def write(self, audio: bytes) -> None:
        """Append; InsufficientStorage when the disk of temporary files is full, too."""
        try:
            write_all(self._file, audio)
        except OSError as error:
            log.warning("speech cache: nothing kept: %s", error.strerror)
            with disk_of("of temporary files"):
                self._move()
                write_all(self._file, audio)
        self.size += len(audio)

    def _move(self) -> None:
        there = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed by `close`)
        self._file.seek(0)
        # Past it a part of what failed may stand; less is there, where nothing was.
        end = INFO_BYTES + self.size
        while chunk := self._file.read(min(CHUNK_BYTES, end - there.tell())):
            write_all(there, chunk)
        there.seek(end)
        self._file.close()
        self._file, self.can_be_kept = there, False

    def patch(self, patches: Iterable[tuple[int, str]]) -> None:
        """Overwrite what could not be known before the end: offsets, and bytes as hexadecimal digits."""
        for offset, written in patches:
            self._file.seek(INFO_BYTES + offset)
            write_all(self._file, bytes.fromhex(written))

    def finish(self, info: AudioInfo, path: Path) -> None:
        """Make it an entry, with the name *path*."""
        self._file.seek(0)
        write_all(self._file, json.dumps({"size": self.size, **info._asdict()}).encode().ljust(INFO_BYTES))
        give_name(self._file.fileno(), path)

    def read(self) -> Iterator[bytes]:
        """The audio in chunks, from its start."""
        return chunks(self._file)

    def close(self) -> None:
        """Drop what was not kept."""
        self._file.close()


class CacheEntry(NamedTuple):
    """An entry that was found: `chunks` has its audio; close its *file*."""

    info: AudioInfo
    size: int
    file: BinaryIO


class Cache:
    """
    Entries in *directory*, *limit_bytes* in all; 0 keeps nothing. Threads and workers may share a directory.

    What goes wrong with the disk is logged and is a miss.
    """

    def __init__(self, directory: Path, limit_bytes: int, *, clock: Callable[[], float] = time.time) -> None:
        self._directory, self.limit_bytes, self._clock = directory, limit_bytes, clock

    def find(self, key: str) -> CacheEntry | None:
        """The entry of *key*, and it counts as used now; None where there is none."""
        if not self.limit_bytes:
            return None
        path = self._directory / (key + ENTRY_SUFFIX)
        try:
            file = path.open("rb")
        except OSError:
            return None
        try:
            found = json.loads(file.read(INFO_BYTES))
            size, info = found.pop("size"), AudioInfo(**found)
            # A power cut may leave the name and not all of the bytes.
            whole = size + INFO_BYTES == os.fstat(file.fileno()).st_size
            if not whole or 0 < info.stand_in_until < self._clock():
                raise ValueError
            os.utime(path)
            return CacheEntry(info, size, file)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            return None

    def writer(self) -> CacheWriter:
        """A place to write to: in the cache, or where it keeps nothing or can't, a temporary file."""
        if self.limit_bytes:
            try:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                return CacheWriter(nameless(str(self._directory)), can_be_kept=True)
            except OSError as error:
                log.warning("speech cache: %s can't be written to: %s", self._directory, error.strerror)
        with disk_of("of temporary files"):
            return CacheWriter(tempfile.TemporaryFile(buffering=0), can_be_kept=False)

    def keep(self, key: str, writer: CacheWriter, info: AudioInfo) -> None:
        """Make what *writer* has the entry of *key*; it can still be read, and must still be closed."""
        if not writer.can_be_kept or writer.size > self.limit_bytes // 4:
            return
        try:
            writer.finish(info, self._directory / (key + ENTRY_SUFFIX))
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


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The audio of an entry, from its start."""
    file.seek(INFO_BYTES)
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
