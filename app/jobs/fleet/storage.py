"""Recordings and results in storage that web and workers share: whatever fsspec has a name for."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, cast

import fsspec

from ...errors import InsufficientStorage
from .part import is_part_id, whole_id

CHUNK_BYTES = 1 << 20
BLOCK_BYTES = 5 << 20  # the least S3 takes as a part of an upload; s3fs would keep 50 MiB in memory


class SharedStorage:
    """
    The files of jobs at an fsspec URL, `s3://bucket/folder` for one: ID/recording, ID/result.

    Everything goes through in chunks. Threads may share it. A result is written to this machine's disk first,
    and sent when it is whole: object stores show a file when it is complete and not before.
    """

    upload_directory: str | None = None

    def __init__(self, url: str, directory: str | None = None) -> None:
        # fsspec's own types say Any throughout
        self._storage, self._root = cast("tuple[Any, str]", fsspec.url_to_fs(url, use_listings_cache=False))
        self._directory = directory

    def check_room(self, size_bytes: int) -> None:
        """Shared storage has room, or says so when it is written to."""

    def keep_recording(self, id: str, upload: IO[bytes]) -> None:
        """Keep *upload*, an open file that is complete; InsufficientStorage when it does not fit."""
        upload.seek(0)
        self._send(upload, self._at(id, "recording"))

    @contextmanager
    def recording(self, id: str) -> Iterator[str]:
        """The path of the recording on this machine, for the block; FileNotFoundError."""
        with tempfile.NamedTemporaryFile(dir=self._directory, buffering=0) as here:
            with self._open(whole_id(id), "recording") as there:
                shutil.copyfileobj(there, here, CHUNK_BYTES)
            yield here.name

    @contextmanager
    def new_result(self, id: str) -> Iterator[BinaryIO]:
        """A file to write the result to: kept, whole, when the block ends well, and dropped when it does not."""
        with tempfile.TemporaryFile(dir=self._directory) as here:
            yield here
            here.seek(0)
            self._send(here, self._at(id, "result"))

    def result(self, id: str) -> BinaryIO:
        """The result, opened; FileNotFoundError."""
        return self._open(id, "result")

    def drop_recording(self, id: str) -> None:
        """The recording is needed no more; a part's is, by the other parts."""
        if not is_part_id(id):
            self._drop(self._at(id, "recording"))

    def remove(self, id: str) -> None:
        """Remove everything of the job, of its parts, too."""
        self._drop(self._at(id, "result") if is_part_id(id) else f"{self._root}/{id}")

    def _at(self, id: str, name: str) -> str:
        """What is a part's lies with what is its job's."""
        return f"{self._root}/{whole_id(id)}/{name}{id[len(whole_id(id)) :]}"

    def _open(self, id: str, name: str) -> BinaryIO:
        return cast("BinaryIO", self._storage.open(self._at(id, name), "rb", block_size=BLOCK_BYTES))

    def _send(self, here: IO[bytes], path: str) -> None:
        self._storage.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            there = self._storage.open(path, "wb", block_size=BLOCK_BYTES, autocommit=False)
            try:
                shutil.copyfileobj(here, there, CHUNK_BYTES)
                there.close()
            except BaseException:
                there.discard()
                raise
            there.commit()
        except OSError as error:
            raise InsufficientStorage(f"the shared storage (JOB_STORAGE_URL) took no file: {error}") from None

    def _drop(self, path: str) -> None:
        try:
            self._storage.rm(path, recursive=True)
        except FileNotFoundError:
            return
