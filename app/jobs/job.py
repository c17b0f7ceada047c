"""A job: what was asked for, how far it is, what came of it; and what keeps and hands out jobs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import IO, Any, BinaryIO, Protocol

from . import STATES

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = STATES
FINISHED = (SUCCEEDED, FAILED, CANCELLED)
TRANSCRIBE, SPEAK = "transcribe", "speak"


@dataclass(slots=True)
class Job:
    """
    One piece of work and where it stands. Times are seconds since 1970.

    *attempt* counts how often it was begun: whoever works on it holds the number it was begun with, and a
    store takes nothing from a worker whose number is no longer the job's, so a job ends once.
    """

    id: str
    kind: str  # TRANSCRIBE or SPEAK
    asked: dict[
        str, Any
    ]  # what TranscriptionRequest or SpeakRequest is made of, without the recording's path
    owner: str = ""  # the id of the API key that made it; empty where none is needed
    state: str = QUEUED
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    due_at: float = 0.0  # it is not begun before: when it failed, it waits a little
    attempt: int = 0
    failures: int = 0  # how many attempts ended because an engine or a worker failed
    seconds_done: float = 0.0  # of audio
    text: str = ""  # of a transcript, as far as it is known
    result: dict[str, Any] = field(
        default_factory=dict
    )  # what is known of the finished work beside its bytes
    error: dict[str, Any] | None = None  # message, code and param, as the envelope has them
    size_bytes: int = 0  # of its recording, or of its text
    result_bytes: int = 0
    idempotency_key: str = ""
    fingerprint: str = ""  # of what was asked: the same key with another one is a mistake
    webhook_url: str = ""
    webhook_state: str = ""  # "", "pending", "delivered" or "failed"
    webhook_attempts: int = 0
    webhook_due_at: float | None = None
    extra: dict[str, Any] = field(
        default_factory=dict
    )  # what routes note for later: its URL, who pays for it

    @property
    def stored_bytes(self) -> int:
        """What it takes of JOB_DISK_MB: a recording is dropped once its job has succeeded."""
        return self.result_bytes + (self.size_bytes if self.state != SUCCEEDED else 0)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is to do: for the queue's position, `/metrics`, and whoever scales workers."""

    queued: int
    running: int
    oldest_waiting_seconds: float
    stored_bytes: int
    by_state: dict[str, int] = field(default_factory=dict)


NO_COUNTS = Counts(0, 0, 0.0, 0, dict.fromkeys(STATES, 0))


@dataclass(frozen=True, slots=True)
class Pace:
    """How long jobs of a kind took lately, in seconds of work: on the average, and for a byte of what was sent."""

    job_seconds: float
    byte_seconds: float


class Store(Protocol):
    """Where jobs stand. Every change is one transaction; two workers never hold the same attempt."""

    def add(self, job: Job, limit_bytes: int) -> Job:
        """
        Keep a new job; the one that is there already when its owner used its idempotency key before.

        InsufficientStorage when all jobs would then take more than *limit_bytes*.
        """

    def find(self, owner: str, idempotency_key: str) -> Job | None:
        """The job *owner* made with that key."""

    def get(self, id: str) -> Job | None:
        """The job, if it is there."""

    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        """
        Jobs of *owner* without their texts, newest first: those in *state* and older than the job *before*,
        where these are not empty.
        """

    def ahead(self, job: Job) -> int:
        """How many jobs that are queued or running come before it."""

    def pace(self, kind: str) -> Pace | None:
        """How long the last jobs of *kind* that succeeded took; None before the first."""

    def begin(self, id: str, now: float) -> Job | None:
        """Queued becomes running, with the next attempt; None when it is not queued (any more) or not yet due."""

    def progress(self, job: Job) -> bool:
        """
        Note *job*'s seconds_done and text; False when its worker should stop: it was cancelled, removed, or
        given to somebody else.
        """

    def finish(self, job: Job, state: str, now: float, error: dict[str, Any] | None = None) -> bool:
        """
        The end of *job*'s attempt, with its seconds_done, text, result and result_bytes; False, and nothing
        changes, when the attempt is no longer the current one.
        """

    def put_back(self, job: Job, due_at: float) -> bool:
        """Running becomes queued again, with *job*'s failures; False when its attempt is no longer the current one."""

    def requeue(self, id: str) -> bool:
        """Failed or cancelled becomes queued, as new; False when it is something else."""

    def cancel(self, id: str, now: float) -> bool:
        """Queued or running becomes cancelled; False when it had ended."""

    def remove(self, id: str) -> None:
        """Forget it."""

    def finished_before(self, when: float) -> list[str]:
        """The ids of jobs that ended before *when*, at most 100."""

    def webhooks_due(self, now: float) -> list[Job]:
        """Finished jobs whose webhook is pending and due by *now*, the soonest first, at most 100."""

    def webhook_begin(self, job: Job, due_at: float) -> bool:
        """
        Claim the next try for the job's webhook, which counts it, and have the one after it at *due_at*; False
        when the webhook is no longer pending or somebody else has tried since *job* was read.
        """

    def webhook_ended(self, job: Job, state: str) -> None:
        """The webhook is "delivered", or has "failed" for good."""

    def counts(self, now: float) -> Counts:
        """How much there is to do."""


class Files(Protocol):
    """Where recordings wait and results are kept."""

    upload_directory: (
        str | None
    )  # uploads that are received there need not be copied; None: it makes no difference

    def check_room(self, size_bytes: int) -> None:
        """InsufficientStorage when so much more would fill what they are kept on."""

    def keep_recording(self, id: str, upload: IO[bytes]) -> None:
        """Keep *upload*, an open file that is complete; InsufficientStorage when it does not fit."""

    def recording(self, id: str) -> AbstractContextManager[str]:
        """The path of the recording on this machine, for the block; FileNotFoundError."""

    def new_result(self, id: str) -> AbstractContextManager[BinaryIO]:
        """A file to write the result to: kept, whole, when the block ends well, and dropped when it does not."""

    def result(self, id: str) -> BinaryIO:
        """The result, opened; FileNotFoundError."""

    def drop_recording(self, id: str) -> None:
        """The recording is needed no more."""

    def remove(self, id: str) -> None:
        """Remove everything of the job."""


class Queue(Protocol):
    """How jobs get to whoever runs them."""

    def begin(self) -> None:
        """The worker serves from now on: go on with the jobs there are."""

    def check(self) -> None:
        """BrokerUnavailable when jobs can't be given out now; asked before a recording is received."""

    def changed(self, job: Job) -> None:
        """*job* is queued now, or was cancelled."""

    def close(self) -> None:
        """Run no more jobs here; what is being worked on goes back into the queue."""


def iso(moment: float | None, timespec: str) -> str | None:
    """*moment* as ISO 8601 in UTC, to the *timespec* of `datetime.isoformat`; None for none."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec=timespec).replace("+00:00", "Z")
