"""Files that appear whole or not at all: without a name while they are written, or under another one."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from .errors import InsufficientStorage

LONGEST_NAME_BYTES = 220  # of the 255 that filesystems take, with room for what is put around a name
PART_SUFFIX = ".part"  # of a file being written; one that stays was left by a process that was killed


def nameless(directory: str) -> IO[bytes]:
    """
    A new unbuffered file in *directory* that nobody else can open.

    It is gone when it is closed, and with the process, unless `give_name` gives it a name.
    """
    try:
        # Not tempfile's: that asks for a file that can never have a name (O_EXCL).
        descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # a filesystem without such files
        return tempfile.TemporaryFile(dir=directory, buffering=0)
    return os.fdopen(descriptor, "w+b", buffering=0)


def give_name(descriptor: int, path: Path) -> None:
    """
    Give the open file *descriptor* the name *path*, in place of a file that has it (linkat(2), AT_SYMLINK_FOLLOW).

    OSError where *path* is on another disk, or the filesystem cannot do it.
    """
    part = _part(path)
    # Some directory has to be named, or os.link calls link(2), which would link to the link in /proc.
    root = os.open("/", os.O_PATH)
    try:
        os.link(f"/proc/self/fd/{descriptor}", part, src_dir_fd=root, follow_symlinks=True)
    finally:
        os.close(root)
    part.replace(path)


def sync_directory(path: Path) -> None:
    """The names in the directory *path* are on its disk, where the filesystem can tell."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network filesystems know no fsync of directories
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_write(path: Path, *, durable: bool = False, mode: int = 0o600) -> Iterator[BinaryIO]:
    """
    A file to write to, which takes the name *path* when the block ends; after an error nothing of it is left.

    *durable*: it is on the disk before it has the name, so a power cut leaves no empty file.
    """
    part = _part(path)
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _part(path: Path) -> Path:
    """Its name until it is whole; another one for each writer, because processes may share a disk."""
    kept = os.fsdecode(os.fsencode(path.name)[:LONGEST_NAME_BYTES])
    return path.with_name(f".{kept}-{os.urandom(4).hex()}{PART_SUFFIX}")


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of *data* to an unbuffered *file*: a disk that is nearly full takes less than it is given."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


@contextlib.contextmanager
def disk_of(what: str) -> Iterator[None]:
    """Where a disk is full, read-only or broken: InsufficientStorage, for "the disk *what* are kept on"."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        problem = "is full" if is_full else f"can't be written to ({error.strerror})"
        raise InsufficientStorage(f"the disk {what} {problem}; try again later") from None


def directory_problem(directory: str, *, made: bool = False, size_bytes: int = 0) -> str:
    """
    Why no file of *size_bytes* can be written in *directory*, which the service may have *made* itself; else empty.

    It is tried: permissions alone say nothing of disks that are read-only.
    """
    path = Path(directory).absolute()
    try:
        target = next(each for each in (path, *path.parents) if each.exists()) if made else path
        if not target.is_dir():
            return f"{target} {'is not a directory' if target.exists() else 'does not exist'}"
    except OSError as problem:  # its name is too long, or this user may not look there
        return f"{path} can't be used: {problem.strerror}"
    try:
        with nameless(str(target)) as file:
            file.write(bytes(size_bytes))
    except OSError as problem:
        return f"{target} can't be written to: {problem.strerror}"
    return ""


def free_bytes(directory: str | Path) -> int:
    """How much this user may still write on the disk of *directory*, or of what it will be made in."""
    path = Path(directory).absolute()
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.exists())).free
