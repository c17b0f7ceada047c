"""A job: what was asked for, how far it is, what came of it; and the interface of what keeps jobs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import Any, Protocol

from ..errors import InsufficientStorage
from . import STATES

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = STATES
FINISHED = (SUCCEEDED, FAILED, CANCELLED)
TRANSCRIBE, SPEAK = "transcribe", "speak"

RECORD_BYTES = 4096  # of JOB_DISK_MB for each job beside its files: its row or hash, and a directory
SEGMENTS_READ = 100  # at once
WEBHOOKS_READ = 8  # webhooks that are read at once: each comes with its job's text
THROUGHPUT_JOBS = 20  # how many of the last jobs of a kind tell how long the next will take
PART_MARK = "~"


@dataclass(slots=True)
class Job:
    """
    One piece of work and its state. Times are seconds since 1970.

    *attempt* counts how often the job was claimed. Each worker holds the number of its own attempt, and a store
    accepts nothing from a worker whose attempt is no longer the current one; so a job ends exactly once.

    The methods are the changes of state. A store calls them inside a transaction (`Store.change`), and saves the job
    when the method returns True; so every store follows the same rules.
    """

    id: str
    kind: str  # TRANSCRIBE or SPEAK
    params: dict[str, Any]  # arguments of TranscriptionRequest (without the path) or of SpeakRequest
    owner: str = ""  # the id of the API key that made it; empty where none is needed
    state: str = QUEUED
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    due_at: float = 0.0  # it is not claimed before this time: after a failure it waits
    attempt: int = 0
    failures: int = 0  # how many attempts ended because an engine or a worker failed
    worker: str = ""  # the process that claimed the current or last attempt
    progress_at: float | None = None  # when *seconds_done* last grew
    seconds_done: float = 0.0  # of audio
    text: str = ""  # of a transcript, as far as it is known
    # where the next attempt goes on, if not at the start
    resume: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)  # facts about the result beside its bytes
    error: dict[str, Any] | None = None  # message, code and param, as in an error response
    size_bytes: int = 0  # of its recording, or of its text
    result_bytes: int = 0
    idempotency_key: str = ""
    fingerprint: str = ""  # hash of the request: the same key with another request is a mistake
    webhook_url: str = ""
    webhook_state: str = ""  # "", "pending", "delivered" or "failed"
    webhook_attempts: int = 0
    webhook_due_at: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)  # what routes keep with it: its URL, who pays for it

    @property
    def file_bytes(self) -> int:
        """How much of JOB_DISK_MB its files take: a recording is removed once its job has succeeded."""
        return self.result_bytes + (self.size_bytes if self.state != SUCCEEDED else 0)

    def claim(self, now: float, worker: str) -> bool:
        """Queued becomes running, with the next attempt; False when it is not queued or not yet due."""
        if self.state != QUEUED or self.due_at > now:
            return False
        self.state, self.started_at, self.attempt = RUNNING, now, self.attempt + 1
        self.worker, self.progress_at = worker, now
        self._go_back()
        return True

    def is_held_by(self, held: Job) -> bool:
        """Whether *held*, a worker's copy of this job, is of the current attempt."""
        return self.state == RUNNING and self.attempt == held.attempt

    def note_progress(self, held: Job) -> bool:
        """
        Take over the progress of *held*; False when its worker should stop, because the job was cancelled, or given
        to another worker.
        """
        if not self.is_held_by(held):
            return False
        for name in ("seconds_done", "text", "progress_at", "resume"):
            setattr(self, name, getattr(held, name))
        return True

    def finish(self, held: Job, state: str, now: float, error: dict[str, Any] | None) -> bool:
        """Running becomes *state*, with the results of *held*; False when its attempt is over."""
        if not self.is_held_by(held):
            return False
        for name in ("seconds_done", "text", "progress_at", "result", "result_bytes", "failures"):
            setattr(self, name, getattr(held, name))
        self._end(state, now, error)
        return True

    def put_back(self, held: Job, due_at: float) -> bool:
        """Running becomes queued again, with the failures of *held*; False when its attempt is over."""
        if not self.is_held_by(held):
            return False
        self.state, self.due_at, self.failures = QUEUED, due_at, held.failures
        self._go_back()
        self._forget_parts()
        return True

    def count_failure(self) -> int:
        """How many attempts in a row have failed now without getting further than the one before."""
        self.failures = 1 if self.resume.get("attempt") == self.attempt else self.failures + 1
        return self.failures

    def requeue(self) -> bool:
        """Failed or cancelled becomes queued, with everything but the attempt as in a new job; else False."""
        if self.state not in (FAILED, CANCELLED):
            return False
        new = Job(self.id, self.kind, self.params)
        for name in (
            "state", "started_at", "finished_at", "due_at", "failures", "worker", "progress_at", "seconds_done",
            "text", "resume", "result", "error", "result_bytes", "webhook_state", "webhook_attempts", "webhook_due_at",
        ):  # fmt: skip
            setattr(self, name, getattr(new, name))
        self._forget_parts()
        return True

    def cancel(self, now: float) -> bool:
        """Queued or running becomes cancelled; False when it had ended."""
        if self.state in FINISHED:
            return False
        self._end(CANCELLED, now, None)
        return True

    def claim_webhook(self, read: Job, due_at: float) -> bool:
        """Count one more try, with the next at *due_at*; False when *read* is older than another process's claim."""
        if self.webhook_state != "pending" or self.webhook_attempts != read.webhook_attempts:
            return False
        self.webhook_attempts, self.webhook_due_at = self.webhook_attempts + 1, due_at
        return True

    def end_webhook(self, read: Job, state: str) -> bool:
        """No more tries for the end that *read* told of; False when the job was requeued since."""
        if self.webhook_state != "pending" or self.attempt != read.attempt:
            return False
        self.webhook_state, self.webhook_due_at = state, None
        return True

    def _end(self, state: str, now: float, error: dict[str, Any] | None) -> None:
        self.state, self.finished_at, self.error, self.resume = state, now, error, {}
        if self.webhook_url:
            self.webhook_state, self.webhook_due_at = "pending", now

    def _go_back(self) -> None:
        """To where the next attempt goes on."""
        self.seconds_done = self.resume.get("seconds", 0.0)
        self.text = self.text[: self.resume.get("characters", 0)]

    def _forget_parts(self) -> None:
        self.extra = {name: value for name, value in self.extra.items() if name != "parts"}


# What a job's fields are called where jobs are stored. `params` was `asked` in 0.2.0.
STORED_NAMES = {"asked" if each.name == "params" else each.name: each.name for each in fields(Job)}


def to_record(job: Job) -> dict[str, Any]:
    """The fields of *job* by their stored names."""
    return {stored: getattr(job, name) for stored, name in STORED_NAMES.items()}


def from_record(record: Mapping[str, Any]) -> Job:
    """The job of *record*. Names that a newer version added are left out; missing ones are as in a new job."""
    return Job(**{STORED_NAMES[stored]: value for stored, value in record.items() if stored in STORED_NAMES})


def part_ids(job: Job) -> list[str]:
    """
    The ids of the parts that a long *job* is divided into, which are jobs of their own.

    They contain the attempt of *job*: parts of an earlier attempt are not mixed up with those of a later one.
    """
    group = f"{job.id}{PART_MARK}{job.attempt}"
    return [f"{group}{PART_MARK}{number}" for number in range(job.extra.get("parts", 0))]


def is_part(id: str) -> bool:
    """Whether *id* is that of a part; clients never see those."""
    return PART_MARK in id


def whole_id(id: str) -> str:
    """The id of the job that *id* is a part of; *id* itself when it is no part."""
    return id.partition(PART_MARK)[0]


def process_name() -> str:
    """The machine of this process and its number there, as `Job.worker` has them."""
    return f"{os.uname().nodename}/{os.getpid()}"


def require_room(taken_bytes: int, more_bytes: int, limit_bytes: int) -> None:
    """InsufficientStorage when jobs that take *taken_bytes* have no room for *more_bytes* and a record."""
    if taken_bytes + more_bytes + RECORD_BYTES > limit_bytes:
        raise InsufficientStorage(
            f"jobs take {taken_bytes / (1 << 20):.1f} of {limit_bytes / (1 << 20):.0f} MB (JOB_DISK_MB), and this one "
            f"needs {more_bytes / (1 << 20):.1f} MB; remove jobs that have ended (DELETE), or try again when their "
            "time is over (JOB_TTL_HOURS)"
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is to do: for the queue's position, `/metrics`, and whoever scales workers."""

    by_state: dict[str, int]  # every state has its number
    oldest_waiting_seconds: float
    stored_bytes: int  # of JOB_DISK_MB: files, and RECORD_BYTES for each job
    oldest_progress_seconds: float = 0.0  # since the running job that stands still the longest got further
    workers: int | None = None  # that were seen in the last seconds; None where jobs run in the service


NO_COUNTS = Counts(dict.fromkeys(STATES, 0), 0.0, 0)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Seconds of work that the last jobs of a kind took: on average for a job, and for a byte that was sent."""

    job_seconds: float
    byte_seconds: float


class Store(Protocol):
    """
    Where the state of jobs is kept. Every change is one transaction; two workers never hold the same attempt.

    tests/jobs/test_stores.py says what all stores have in common.
    """

    def add(self, job: Job, limit_bytes: int) -> Job:
        """
        Keep a new job, and return it; or return the job whose owner used the same idempotency key before.

        InsufficientStorage when all jobs would then take more than *limit_bytes*.
        """

    def find(self, owner: str, idempotency_key: str) -> Job | None:
        """The job that *owner* made with that key before; None where it is empty."""

    def get(self, id: str) -> Job | None:
        """The job, if there is one."""

    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        """
        Jobs of *owner* without their texts, newest first: only those in *state*, and older than the job *before*,
        where these are not empty.
        """

    def ahead(self, job: Job) -> int:
        """How many jobs come before *job*, which is queued: those that run, and those queued earlier."""

    def throughput(self, kind: str) -> Throughput | None:
        """Of the last THROUGHPUT_JOBS jobs of *kind* that succeeded; None before the first."""

    def change(self, id: str, edit: Callable[[Job], bool], segments: Sequence[bytes] = ()) -> Job | None:
        """
        The job after *edit*, one of its changes of state, in one transaction; None, and nothing is saved, when
        there is no such job or *edit* returned False. *edit* may be called again, on the job as it is then.

        *segments*, lines of its transcript, are kept with it until its `resume` is empty.
        """

    def segments(self, id: str) -> Iterator[bytes]:
        """The lines that are kept with the job, in their order, read a few at a time."""
        for first in itertools.count(0, SEGMENTS_READ):
            lines = self.some_segments(id, first)
            yield from lines
            if len(lines) < SEGMENTS_READ:
                return

    def some_segments(self, id: str, first: int) -> list[bytes]:
        """SEGMENTS_READ of them at the most, from number *first* on."""

    # The changes of state: what each does, and when it is refused, is said with the method of Job that it is.

    def claim(self, id: str, now: float, worker: str) -> Job | None:
        return self.change(id, lambda job: job.claim(now, worker))

    def progress(self, job: Job, segments: Sequence[bytes] = ()) -> bool:
        return self.change(job.id, lambda stored: stored.note_progress(job), segments) is not None

    def finish(self, job: Job, state: str, now: float, error: dict[str, Any] | None = None) -> bool:
        return self.change(job.id, lambda stored: stored.finish(job, state, now, error)) is not None

    def put_back(self, job: Job, due_at: float) -> bool:
        return self.change(job.id, lambda stored: stored.put_back(job, due_at)) is not None

    def requeue(self, id: str) -> Job | None:
        return self.change(id, Job.requeue)

    def cancel(self, id: str, now: float) -> Job | None:
        return self.change(id, lambda job: job.cancel(now))

    def claim_webhook(self, job: Job, due_at: float) -> bool:
        return self.change(job.id, lambda stored: stored.claim_webhook(job, due_at)) is not None

    def end_webhook(self, job: Job, state: str) -> None:
        self.change(job.id, lambda stored: stored.end_webhook(job, state))

    def remove(self, id: str) -> None:
        """Delete the job from the store."""

    def finished_before(self, when: float) -> list[str]:
        """The ids of jobs that ended before *when*, at most 100."""

    def webhooks_due(self, now: float) -> list[Job]:
        """Finished jobs whose webhook is pending and due by *now*, the soonest first, at most WEBHOOKS_READ."""

    def next_webhook_at(self) -> float | None:
        """When the next pending webhook is due; None when there is none."""

    def counts(self, now: float) -> Counts:
        """How much there is to do."""


def iso(moment: float | None, timespec: str) -> str | None:
    """*moment* as ISO 8601 in UTC, to the *timespec* of `datetime.isoformat`; None for none."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec=timespec).replace("+00:00", "Z")
