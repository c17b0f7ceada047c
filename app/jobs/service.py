"""Jobs, as routes ask for them: whose they are, whether there is room, and where their results are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO

from ..errors import Conflict, InsufficientStorage, JobNotFound
from .job import (
    CANCELLED,
    FAILED,
    FINISHED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    Counts,
    Files,
    Job,
    Pace,
    Queue,
    Store,
)

if TYPE_CHECKING:
    from ..services import Services

# Before the first job has been timed: tiny.en on one core, and a recording of 32 kbit/s; speech from a text.
FIRST_GUESSES = {"transcribe": Pace(20.0, 20e-6), "speak": Pace(2.0, 5e-3)}


@dataclass
class Jobs:
    """
    One per worker, owned by Services, shared by its threads; built when the first is asked for.

    A job of another owner is not there.
    """

    store: Store
    files: Files
    queue: Queue
    limit_bytes: int
    watchers: threading.Semaphore  # for clients that read a job's events, each of which takes a thread
    clock: Callable[[], float] = time.time

    def begin(self) -> None:
        """Go on with the jobs there are."""
        self.queue.begin()

    def check_room(self, size_bytes: int) -> None:
        """Before anything is received: InsufficientStorage, BrokerUnavailable."""
        self.queue.check()
        self.files.check_room(size_bytes)
        taken = self.store.counts(self.clock()).stored_bytes
        if taken + size_bytes > self.limit_bytes:
            raise InsufficientStorage(
                f"jobs take {taken >> 20} of {self.limit_bytes >> 20} MB (JOB_DISK_MB); remove jobs that have ended "
                "(DELETE), or try again when their time is over (JOB_TTL_HOURS)"
            )

    def known(self, owner: str, idempotency_key: str) -> Job | None:
        """The job *owner* made with that key before."""
        return self.store.find(owner, idempotency_key) if idempotency_key else None

    def submit(self, job: Job, recording: IO[bytes] | None) -> Job:
        """
        Accept *job*: it is kept when this returns. What it gives back is the job made earlier, where the
        idempotency key was used before; Conflict when that asked for something else.
        """
        job.created_at = self.clock()
        if earlier := self.known(job.owner, job.idempotency_key):
            return same(earlier, job.fingerprint)
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
        if not self.store.cancel(job.id, self.clock()):
            return False
        self.queue.changed(job)
        return True

    def remove(self, job: Job) -> None:
        """Forget a job that has ended, and its files."""
        self.files.remove(job.id)
        self.store.remove(job.id)

    def requeue(self, job: Job) -> None:
        """Do it again; Conflict unless it failed or was cancelled."""
        if not self.store.requeue(job.id):
            raise Conflict(
                f"the job is {job.state}; only one that is {FAILED} or {CANCELLED} can be queued again"
            )
        self.queue.changed(job)

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

    def forecast(self, job: Job) -> tuple[int, float]:
        """How many jobs run before *job*, and in how many seconds it may be done."""
        if job.state not in (QUEUED, RUNNING):
            return 0, 0.0
        ahead = self.store.ahead(job)
        pace = self.store.pace(job.kind) or FIRST_GUESSES[job.kind]
        own = pace.byte_seconds * job.size_bytes
        if job.state == RUNNING:
            return 0, max(1.0, own - (self.clock() - (job.started_at or 0.0)))
        return ahead, ahead * pace.job_seconds + own

    def counts(self) -> Counts:
        """How much there is to do."""
        return self.store.counts(self.clock())

    def close(self) -> None:
        """Run no more here."""
        self.queue.close()


def build(services: Services) -> Jobs:
    """The jobs of this service: run here, or by workers where there is a broker."""
    settings = services.settings
    store: Store
    files: Files
    queue: Queue
    if settings.celery_broker_url:
        from . import fleet

        store, files, queue = fleet.build(settings)
    else:
        from . import local_worker

        store, files, queue = local_worker.build(services)
    # Of the threads that are no engine's: the others answer health checks.
    watchers = threading.Semaphore(max(1, (settings.web_threads - settings.engine_seats) // 2))
    return Jobs(store, files, queue, settings.job_disk_mb << 20, watchers)


def same(job: Job, fingerprint: str) -> Job:
    """*job*, when it was asked for with the same *fingerprint*; else Conflict."""
    if job.fingerprint != fingerprint:
        raise Conflict(
            "this Idempotency-Key was used for another request; send a new key with a new request",
            "Idempotency-Key",
        )
    return job
