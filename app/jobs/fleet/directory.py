"""Recordings and results in a directory that web and workers share: one machine's, or a network disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files import RESULT, LocalFiles
from .part import is_part_id, whole_id


class SharedDirectory(LocalFiles):
    """The files of jobs, and in the same directories those of the parts of long ones."""

    @contextmanager
    def recording(self, id: str) -> Iterator[str]:
        """Its path, for a part that of the whole; FileNotFoundError."""
        with super().recording(whole_id(id)) as path:
            yield path

    def drop_recording(self, id: str) -> None:
        """Remove the recording; a part's stays, for the other parts."""
        if not is_part_id(id):
            super().drop_recording(id)

    def remove(self, id: str) -> None:
        """Remove the job's directory, or a part's result from it."""
        if is_part_id(id):
            self._path(id, RESULT).unlink(missing_ok=True)
        else:
            super().remove(id)

    def _path(self, id: str, name: str) -> Path:
        whole = whole_id(id)
        return self.directory / whole / (name + id[len(whole) :])
