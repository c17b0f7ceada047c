"""Files without a name: nobody else can open them, and they are gone with the process, however it ends."""

import os
import tempfile
from pathlib import Path
from typing import IO


def nameless(directory: str, *, buffering: int = 0) -> IO[bytes]:
    """A new file in *directory*, for this user alone; it is gone when it is closed, unless it is given a name."""
    try:
        # Not tempfile's: that asks for a file that can never have a name (O_EXCL).
        descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # a filesystem without such files
        return tempfile.TemporaryFile(dir=directory, buffering=buffering)
    return os.fdopen(descriptor, "w+b", buffering=buffering)


def give_name(descriptor: int, path: Path) -> None:
    """
    Have the open file *descriptor* appear at *path* (linkat with AT_SYMLINK_FOLLOW, see open(2), O_TMPFILE).

    OSError where it is on another disk, or the filesystem can't.
    """
    # Some directory has to be named, or os.link calls link(2), which would link to the link in /proc.
    root = os.open("/", os.O_PATH)
    try:
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=root, follow_symlinks=True)
    finally:
        os.close(root)
