"""What routes do with jobs: each owner sees his own, new ones are accepted while there is room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, BinaryIO

from ..errors import Conflict, JobNotFound
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
    Queue,
    Store,
    Throughput,
    require_room,
)

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
    queue: Queue
    limit_bytes: int
    watchers: threading.Semaphore  # counts clients that read a job's events, each of which takes a thread
    clock: Callable[[], float] = time.time

    def start(self) -> None:
        """Continue with the jobs that were left from before."""
        self.queue.start()

    def check_room(self, size_bytes: int) -> None:
        """Raise InsufficientStorage or BrokerUnavailable before anything is received."""
        self.queue.check()
        self.files.check_room(size_bytes)
        require_room(self.store.counts(self.clock()).stored_bytes, size_bytes, self.limit_bytes)

    def known(self, owner: str, idempotency_key: str) -> Job | None:
        """The job *owner* made with that key before."""
        return self.store.find(owner, idempotency_key) if idempotency_key else None

    def submit(self, job: Job, recording: IO[bytes] | None) -> Job:
        """
        Accept *job*, and keep it. Where its idempotency key was used before, the earlier job is returned;
        Conflict when that was another request.
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
        if (cancelled := self.store.cancel(job.id, self.clock())) is None:
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
            return 0, max(1.0, own - (self.clock() - (job.started_at or 0.0)))
        ahead = self.store.ahead(job)
        return ahead, ahead * throughput.job_seconds + own

    def counts(self) -> Counts:
        """How much there is to do."""
        return self.store.counts(self.clock())

    def close(self) -> None:
        """Run no more jobs here."""
        self.queue.close()


def same(job: Job, fingerprint: str) -> Job:
    """*job*, if *fingerprint* says that it was made by the same request; else Conflict."""
    if job.fingerprint != fingerprint:
        raise Conflict(
            "this Idempotency-Key was used for another request; send a new key with a new request",
            "Idempotency-Key",
        )
    return job
