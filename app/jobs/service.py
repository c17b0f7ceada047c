"""Jobs as a web worker has them: built, used by its routes, and looked at by its health."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from ..checks import Check
from ..errors import Conflict, InsufficientStorage, JobNotFound, ServiceError
from ..files import free_bytes
from . import files
from .job import (
    CANCELLED,
    FAILED,
    FINISHED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    Counts,
    Job,
    Store,
    Throughput,
    require_room,
)

if TYPE_CHECKING:
    from celery import Celery

    from ..access.limits import Allowance
    from ..config import Settings
    from ..speech.service import Speech
    from .files import Files
    from .fleet.queue import CeleryQueue
    from .fleet.store import RedisStore
    from .local_worker import JobWorker

ALMOST = 0.95  # of JOB_DISK_MB
# Before the first job has been timed: tiny.en on one core, and a recording of 32 kbit/s; speech from a text.
FIRST_GUESSES = {"transcribe": Throughput(20.0, 20e-6), "speak": Throughput(2.0, 5e-3)}


@dataclass
class Jobs:
    """
    One per web worker, owned by Services, shared by its threads; built when jobs are first asked for.

    For an owner the jobs of other owners do not exist.
    """

    store: Store
    files: Files
    queue: JobWorker | CeleryQueue
    limit_bytes: int
    watchers: threading.Semaphore  # counts clients that read a job's events, each of which takes a thread

    def check_room(self, size_bytes: int) -> None:
        """Raise InsufficientStorage or BrokerUnavailable before anything is received."""
        self.queue.check()
        self.files.check_room(size_bytes)
        require_room(self.store.counts(time.time()).stored_bytes, size_bytes, self.limit_bytes)

    def submit(self, job: Job, recording: IO[bytes] | None) -> Job:
        """
        Accept *job*, and keep it. Where its idempotency key was used before, the earlier job is returned;
        Conflict when that was another request.
        """
        job.created_at = time.time()
        if earlier := self.store.find(job.owner, job.idempotency_key):
            earlier = same(earlier, job.fingerprint)
            # Its recording was removed below where the store had kept the job, and could not say so in time.
            if (
                recording is not None
                and earlier.state in (QUEUED, FAILED, CANCELLED)
                and not self.files.has_recording(earlier.id)
            ):
                self.files.keep_recording(earlier.id, recording)
            return earlier
        try:
            if recording is not None:
                self.files.keep_recording(job.id, recording)
            kept = self.store.add(job, self.limit_bytes)
        except BaseException:
            self.files.remove(job.id)
            raise
        if kept.id != job.id:
            self.files.remove(job.id)
            return same(kept, job.fingerprint)
        self.queue.changed(job)
        return job

    def get(self, id: str, owner: str) -> Job:
        """The job; JobNotFound."""
        job = self.store.get(id)
        if job is None or job.owner != owner:
            raise JobNotFound("there is no such job; those that have ended are removed after JOB_TTL_HOURS")
        return job

    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        """Jobs of *owner*, newest first, without their texts; JobNotFound when *before* is none of them."""
        if before:
            self.get(before, owner)
        return self.store.page(owner, state=state, before=before, limit=limit)

    def cancel(self, job: Job) -> bool:
        """Cancel it; False when it had ended."""
        if (cancelled := self.store.cancel(job.id, time.time())) is None:
            return False
        self.queue.changed(cancelled)
        return True

    def remove(self, job: Job) -> None:
        """Delete a job that has ended, and its files."""
        self.files.remove(job.id)
        self.store.remove(job.id)

    def requeue(self, job: Job) -> None:
        """Queue it again; Conflict unless it failed or was cancelled."""
        if (queued := self.store.requeue(job.id)) is None:
            raise Conflict(
                f"the job is {job.state}; only one that is {FAILED} or {CANCELLED} can be queued again"
            )
        self.queue.changed(queued)

    def result(self, job: Job) -> BinaryIO:
        """The result's file, opened; Conflict when there is none yet, or will be none."""
        if job.state not in FINISHED:
            raise Conflict(f"the job is {job.state}; its result is there when it has succeeded")
        if job.state != SUCCEEDED:
            raise Conflict(f"the job is {job.state} and has no result; POST .../requeue does it again")
        try:
            return self.files.result(job.id)
        except FileNotFoundError:
            raise JobNotFound("the job's result was removed") from None

    def eta(self, job: Job) -> tuple[int, float]:
        """How many jobs run before *job*, and in how many seconds it may be done."""
        if job.state not in (QUEUED, RUNNING):
            return 0, 0.0
        throughput = self.store.throughput(job.kind) or FIRST_GUESSES[job.kind]
        own = throughput.byte_seconds * job.size_bytes
        if job.state == RUNNING:
            return 0, max(1.0, own - (time.time() - (job.started_at or 0.0)))
        ahead = self.store.ahead(job)
        return ahead, ahead * throughput.job_seconds + own

    def counts(self) -> Counts:
        """How much there is to do."""
        return self.store.counts(time.time())


def same(job: Job, fingerprint: str) -> Job:
    """*job*, if *fingerprint* says that it was made by the same request; else Conflict."""
    if job.fingerprint != fingerprint:
        raise Conflict(
            "this Idempotency-Key was used for another request; send a new key with a new request",
            "Idempotency-Key",
        )
    return job


def build(settings: Settings, speech: Speech, allowance: Allowance, is_running: Callable[[], bool]) -> Jobs:
    """
    The jobs of a web worker: run by workers where CELERY_BROKER_URL is set, else here in the service, from now on.

    Those that run here are kept under DATA_DIR, use *speech*, charge *allowance*, and are put back once *is_running*
    says that the web worker is about to end. InsufficientStorage where no jobs can be kept.
    """
    # Readers of events take threads from those that are no engine's; the other half answers health checks.
    watchers = threading.Semaphore(max(1, (settings.web_threads - settings.engine_seats) // 2))
    limit_bytes = settings.job_disk_mb << 20
    if settings.celery_broker_url:
        return Jobs(*build_fleet(settings), limit_bytes, watchers)
    import sqlite3

    from .local_worker import JobWorker
    from .store_sqlite import open_store

    directory = Path(settings.data_dir) / "jobs"
    try:
        kept = files.LocalFiles(directory)
        store = open_store(directory)
    except (OSError, sqlite3.Error) as error:
        raise InsufficientStorage(f"jobs can't be kept in {directory}: {error}; set DATA_DIR") from None
    worker = JobWorker(store, kept, speech, settings, allowance, is_running)
    worker.start()
    return Jobs(store, kept, worker, limit_bytes, watchers)


def build_fleet(
    settings: Settings, keep_retrying: Callable[[], bool] = lambda: False, celery: Celery | None = None
) -> tuple[RedisStore, Files, CeleryQueue]:
    """
    Jobs that web and workers share; nothing is connected yet. *keep_retrying*: see RedisStore. *celery* is a worker's.

    InsufficientStorage where their files can't be kept.
    """
    from .fleet.queue import CeleryQueue, celery_app
    from .fleet.store import RedisStore
    from .fleet.transactions import connect

    store = RedisStore(connect(settings.fleet_redis_url), keep_retrying)
    queue = CeleryQueue(celery or celery_app(settings), store)
    try:
        kept = files.build(settings)
        if isinstance(kept, files.LocalFiles):
            (kept.directory / files.OF_WORKERS).touch(mode=0o600)
        return store, kept, queue
    except Exception as error:  # each storage's library has its own
        where = "JOB_STORAGE_URL" if settings.job_storage_url else "DATA_DIR"
        reason = f"{type(error).__name__}: {error}"
        raise InsufficientStorage(f"jobs can't be kept at {where}: {reason}; set {where}") from None


def checks(settings: Settings, built: Jobs | None, make: Callable[[], Jobs]) -> Iterator[Check]:
    """
    Whether jobs can be accepted, kept and done. *built* are the jobs so far; where they run in the service, and there
    is no database yet, none are made for this.

    `job storage` and `job workers` exist only where CELERY_BROKER_URL is set.
    """
    if settings.celery_broker_url:
        yield from _fleet(settings, make)
    else:
        yield _local(settings, Path(settings.data_dir) / "jobs", built, make)


def _local(settings: Settings, directory: Path, built: Jobs | None, make: Callable[[], Jobs]) -> Check:
    if problem := files.local_problem(directory, "DATA_DIR"):
        return Check("jobs", problem)
    if broken := next(directory.parent.glob("*.broken-*"), None):
        return Check("jobs", f"the database was damaged and made again; look at {broken}, then remove it")
    if built is None and not (directory / "jobs.sqlite3").exists():
        return Check("jobs", detail="none yet")
    import sqlite3  # here: 1.5 MB that a service without jobs does not weigh

    try:
        counts = (built or make()).counts()
    except ServiceError as error:
        return Check("jobs", error.message)
    except sqlite3.Error as error:
        return Check("jobs", f"the database in {directory} can't be read: {error}; start the service again")
    return Check("jobs", _full(settings, counts), f"{free_bytes(directory) >> 20} MB free")


def _full(settings: Settings, counts: Counts) -> str:
    """That JOB_DISK_MB is nearly used up; empty where it is not."""
    stored_mb = counts.stored_bytes / (1 << 20)
    if stored_mb < ALMOST * settings.job_disk_mb:
        return ""
    return (
        f"jobs take {stored_mb:.1f} of {settings.job_disk_mb} MB (JOB_DISK_MB), so new ones are refused; remove jobs "
        "that have ended, lower JOB_TTL_HOURS, or raise JOB_DISK_MB"
    )


def _fleet(settings: Settings, make: Callable[[], Jobs]) -> Iterator[Check]:
    try:
        jobs = make()
    except ServiceError as error:
        yield Check("jobs", error.message)
        return
    try:
        jobs.queue.check()
        counts = jobs.counts()
    except ServiceError as error:
        yield Check("jobs", f"{error.message}; see REDIS_URL and CELERY_BROKER_URL")
    else:
        running = f"{counts.by_state[QUEUED]} queued, {counts.by_state[RUNNING]} running"
        yield Check("jobs", _full(settings, counts), running)
        missing = "no worker was seen in the last 10 s: jobs wait; start one (make worker)"
        yield Check("job workers", "" if counts.workers else missing, f"{counts.workers} seen")
    yield Check("job storage", jobs.files.problem())
