"""Recordings and results of jobs in a directory of this machine, private to this user."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from ..errors import InsufficientStorage
from ..files import give_name

KEPT_FREE_BYTES = 32 << 20  # of the disk, for the database, results, and everybody else
RECORDING, RESULT, PART = "recording", "result", ".part"


class LocalFiles:
    """
    A directory for each job in *directory*, which is made when needed. Threads and processes may share it.

    A file has its name only once it is whole; what a killed process was writing has none, or one that ends in
    PART.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self.upload_directory: str | None = str(directory)

    def check_room(self, size_bytes: int) -> None:
        """InsufficientStorage when so much more would leave less than KEPT_FREE_BYTES of the disk."""
        disk = os.statvfs(self.directory)
        free = disk.f_bavail * disk.f_frsize
        if free - size_bytes < KEPT_FREE_BYTES:
            raise InsufficientStorage(
                f"the disk jobs are kept on has {free >> 20} MB left, of which {KEPT_FREE_BYTES >> 20} MB are kept "
                "free; remove jobs that have ended (DELETE), or set DATA_DIR to a larger disk"
            )

    def keep_recording(self, id: str, upload: IO[bytes]) -> None:
        """Give *upload* a name; copied only where it is on another disk, or can't have one."""
        with _or_full():
            path = self._path(id, RECORDING)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            try:
                give_name(upload.fileno(), path)
            except OSError:
                upload.seek(0)
                with self._new(path) as copy:
                    shutil.copyfileobj(upload, copy, 1 << 16)

    @contextmanager
    def recording(self, id: str) -> Iterator[str]:
        """Its path; FileNotFoundError."""
        path = self._path(id, RECORDING)
        path.stat()
        yield str(path)

    @contextmanager
    def new_result(self, id: str) -> Iterator[BinaryIO]:
        """A file that becomes the result, and is on the disk by then: a power cut leaves no empty result."""
        with self._new(self._path(id, RESULT)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _new(self, path: Path) -> Iterator[BinaryIO]:
        # Where workers share a disk, one that was taken for dead may write at the same time as its successor.
        part = path.with_name(f"{path.name}-{secrets.token_hex(4)}{PART}")
        part.parent.mkdir(exist_ok=True, mode=0o700)
        try:
            with open(part, "wb", opener=private) as file:
                yield file
            part.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise

    def result(self, id: str) -> BinaryIO:
        """The result, opened; FileNotFoundError."""
        return self._path(id, RESULT).open("rb")

    def drop_unfinished(self, id: str) -> None:
        """Remove what a process that is dead was writing."""
        for path in self._path(id, RESULT).parent.glob(f"*{PART}"):
            path.unlink(missing_ok=True)

    def drop_recording(self, id: str) -> None:
        """Remove the recording."""
        self._path(id, RECORDING).unlink(missing_ok=True)

    def remove(self, id: str) -> None:
        """Remove the job's directory."""
        shutil.rmtree(self._path(id, RESULT).parent, ignore_errors=True)

    def _path(self, id: str, name: str) -> Path:
        return self.directory / id / name


def private(path: str, flags: int) -> int:
    """Opens a file that nobody else may read."""
    return os.open(path, flags, 0o600)


@contextmanager
def _or_full() -> Iterator[None]:
    """A full disk is InsufficientStorage."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InsufficientStorage("the disk jobs are kept on is full; try again later") from None
        raise
