"""Recordings and results of jobs: in a directory, or in storage that web and workers share."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from ..errors import InsufficientStorage
from ..files import (
    PART_SUFFIX,
    atomic_write,
    directory_problem,
    disk_of,
    free_bytes,
    give_name,
    sync_directory,
)
from ..memory import Throttle
from ..speech.transcription import Segment, read_segment
from .job import is_part, whole_id

if TYPE_CHECKING:
    from ..config import Settings

KEPT_FREE_BYTES = 32 << 20  # of the disk, for the database, results, and everybody else
LOOK_SECONDS = 30.0  # from one look at shared storage to the next: each is three requests, maybe paid for
RECORDING, RESULT = "recording", "result"
OF_WORKERS = "of-workers"  # a file that says: Redis knows of jobs in this directory
CHUNK_BYTES = 1 << 20
BLOCK_BYTES = 5 << 20  # the least S3 takes as a part of an upload; s3fs would keep 50 MiB in memory


def build(settings: Settings) -> Files:
    """What web and workers share: JOB_STORAGE_URL, or DATA_DIR where it is empty; OSError for a wrong directory."""
    url = settings.job_storage_url
    if url.startswith("file://") or not url:
        return LocalFiles(Path(url.removeprefix("file://") or settings.data_dir) / "jobs")
    return SharedStorage(url, settings.upload_dir or None)


def storage_problem(make: Callable[[], Files]) -> str | None:
    """
    Make the files, write a byte, read it back and remove it; why that failed, None when it did not.

    It may take as long as the storage's library tries, and that of S3 takes 30 MB.
    """
    name = f"check-{os.urandom(8).hex()}"
    try:
        files = make()
        with files.new_result(name) as file:
            file.write(b"1")
        with files.result(name) as file:
            read = file.read()
        files.remove(name)
    except Exception as error:  # each storage's library has its own
        return f"{type(error).__name__}: {error}"
    return None if read == b"1" else "what is read is not what was written"


def local_problem(directory: Path, setting: str) -> str:
    """Why no file can be kept in *directory*, which is made when needed, and which *setting* to change; or empty."""
    if problem := directory_problem(str(directory), made=True):
        return f"{problem}; set {setting} to a directory that can be written to"
    if (free := free_bytes(directory)) < KEPT_FREE_BYTES:
        return f"the disk of {directory} is full: {free >> 20} MB free; remove jobs, or set {setting}"
    return ""


class LocalFiles:
    """
    A directory for each job in *directory*, which is made when needed. Threads, processes and, on a network disk,
    machines may share it. The results of a job's parts are in the directory of the job.

    A file gets its name once it is complete; what a killed process was writing ends in PART_SUFFIX. An id is that of
    a job, or of a part of one. SharedStorage has the same methods.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        # Uploads received in this directory need not be copied; None where they are copied in any case.
        self.upload_directory: str | None = str(directory)

    def check_room(self, size_bytes: int) -> None:
        """InsufficientStorage when *size_bytes* more would fill the disk."""
        free = free_bytes(self.directory)
        if free - size_bytes < KEPT_FREE_BYTES:
            raise InsufficientStorage(
                f"the disk jobs are kept on has {free >> 20} MB left, of which {KEPT_FREE_BYTES >> 20} MB are kept "
                "free; remove jobs that have ended (DELETE), or set DATA_DIR to a larger disk"
            )

    def problem(self) -> str:
        """Why no file can be kept now, and what to do; empty when all is well. It may take seconds."""
        return local_problem(self.directory, "DATA_DIR or JOB_STORAGE_URL")

    def keep_recording(self, id: str, upload: IO[bytes]) -> None:
        """
        Keep *upload*, an open file that is complete; InsufficientStorage when it does not fit.

        It is given a name, and copied only where it is on another disk, or can't have a name. It is on the disk then,
        with its name: a job that was accepted survives a power cut.
        """
        with disk_of("jobs are kept on"):
            path = self._path(id, RECORDING)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            try:
                os.fdatasync(upload.fileno())
                give_name(upload.fileno(), path)
            except OSError:
                upload.seek(0)
                with atomic_write(path, durable=True) as copy:
                    shutil.copyfileobj(upload, copy, 1 << 16)
            for directory in (path.parent, self.directory):
                sync_directory(directory)

    @contextmanager
    def recording(self, id: str) -> Iterator[str]:
        """The path of the recording on this machine, valid inside the block; FileNotFoundError."""
        path = self._path(whole_id(id), RECORDING)
        path.stat()
        yield str(path)

    def has_recording(self, id: str) -> bool:
        """Whether the recording is kept."""
        return self._path(id, RECORDING).exists()

    @contextmanager
    def new_result(self, id: str) -> Iterator[BinaryIO]:
        """A file to write the result to. It becomes the result when the block ends, and is dropped on an error."""
        path = self._path(id, RESULT)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        with atomic_write(path, durable=True) as file:
            yield file

    def result(self, id: str) -> BinaryIO:
        """The result, opened; FileNotFoundError."""
        return self._path(id, RESULT).open("rb")

    def drop_unfinished(self, id: str) -> None:
        """Remove what a process that is dead was writing for a job; beside the result of a part others are written."""
        if not is_part(id):
            for path in (self.directory / id).glob(f"*{PART_SUFFIX}"):
                path.unlink(missing_ok=True)

    def drop_recording(self, id: str) -> None:
        """Remove the recording of a job; that of a part stays, because the other parts need it."""
        if not is_part(id):
            self._path(id, RECORDING).unlink(missing_ok=True)

    def remove(self, id: str) -> None:
        """Remove all files of the job, or the result of the part."""
        if is_part(id):
            self._path(id, RESULT).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.directory / id, ignore_errors=True)

    def _path(self, id: str, name: str) -> Path:
        return self.directory / _key(id, name)


class SharedStorage:
    """
    The files of jobs at an fsspec URL, `s3://bucket/folder` for one, in the same layout.

    Everything goes through in chunks. Threads may share it. A result is written to this machine's disk first,
    and sent when it is complete: object stores show a file when it is complete and not before.
    """

    upload_directory: str | None = None

    def __init__(self, url: str, directory: str | None = None) -> None:
        import fsspec  # only where JOB_STORAGE_URL is set

        # fsspec's own types say Any throughout
        self._storage, self._root = cast("tuple[Any, str]", fsspec.url_to_fs(url, use_listings_cache=False))
        self._directory = directory
        self._look_now = Throttle(LOOK_SECONDS)
        self._problem = ""

    def check_room(self, size_bytes: int) -> None:
        """Shared storage has room, or says so when it is written to."""

    def problem(self) -> str:
        if self._look_now():
            reason = storage_problem(lambda: self)
            self._problem = f"no file can be written and read at JOB_STORAGE_URL: {reason}" if reason else ""
        return self._problem

    def keep_recording(self, id: str, upload: IO[bytes]) -> None:
        upload.seek(0)
        self._send(upload, self._at(id, RECORDING))

    @contextmanager
    def recording(self, id: str) -> Iterator[str]:
        with tempfile.NamedTemporaryFile(dir=self._directory, buffering=0) as here:
            with self._open(whole_id(id), RECORDING) as there:
                shutil.copyfileobj(there, here, CHUNK_BYTES)
            yield here.name

    def has_recording(self, id: str) -> bool:
        return bool(self._storage.exists(self._at(id, RECORDING)))

    @contextmanager
    def new_result(self, id: str) -> Iterator[BinaryIO]:
        with tempfile.TemporaryFile(dir=self._directory) as here:
            yield here
            here.seek(0)
            self._send(here, self._at(id, RESULT))

    def result(self, id: str) -> BinaryIO:
        return self._open(id, RESULT)

    def drop_unfinished(self, id: str) -> None:
        """Nothing is shown of a file before it is complete."""

    def drop_recording(self, id: str) -> None:
        if not is_part(id):
            self._drop(self._at(id, RECORDING))

    def remove(self, id: str) -> None:
        self._drop(self._at(id, RESULT) if is_part(id) else f"{self._root}/{id}")

    def _at(self, id: str, name: str) -> str:
        return f"{self._root}/{_key(id, name)}"

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
        with contextlib.suppress(FileNotFoundError):
            self._storage.rm(path, recursive=True)


Files = LocalFiles | SharedStorage


def segment_line(segment: Segment) -> bytes:
    """*segment* as a transcript has it: a line of JSON for each, so that its length costs no memory."""
    record = {**segment._asdict(), "words": [word._asdict() for word in segment.words]}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_segments(lines: Iterable[bytes]) -> Iterator[Segment]:
    """The segments of a transcript, read as they are asked for."""
    for line in lines:
        yield read_segment(json.loads(line))


def _key(id: str, name: str) -> str:
    """Where a file of the job or part is: the parts' files are beside those of their job."""
    whole = whole_id(id)
    return f"{whole}/{name}{id[len(whole) :]}"
