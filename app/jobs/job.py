"""A job: what was asked for, how far it is, what came of it; and what keeps jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"
STATES = (QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED)
FINISHED = (SUCCEEDED, FAILED, CANCELLED)


@dataclass(slots=True)
class Job:
    """
    One piece of work and where it stands. Times are seconds since 1970.

    *attempt* counts how often it was begun: whoever works on it holds the number it was begun with, and a
    store takes nothing from a worker whose number is no longer the job's, so a job ends once.
    """

    id: str
    kind: str  # "transcribe" or "speak"
    asked: dict[str, Any]  # the request's fields as their table read them; no recording, no path
    owner: str = ""  # the id of the API key that made it; empty where none is needed
    state: str = QUEUED
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    attempt: int = 0
    seconds_done: float = 0.0  # of audio
    text: str = ""  # what is known so far
    error: dict[str, Any] | None = None  # message and code, as the envelope has them
    size_bytes: int = 0  # of its recording
    idempotency_key: str = ""
    fingerprint: str = ""  # of what was asked: the same key with another one is a mistake
    webhook_url: str = ""
    webhook_state: str = ""  # "", "pending", "delivered" or "failed"
    webhook_attempts: int = 0
    webhook_due_at: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is to do: for the queue's position, `/metrics`, and whoever scales workers."""

    queued: int
    running: int
    oldest_waiting_seconds: float
    stored_bytes: int


class Store(Protocol):
    """Where jobs stand. Every change is one transaction; two workers never hold the same attempt."""

    def add(self, job: Job) -> Job:
        """Keep a new job; the one that is there already when its owner used its idempotency key before."""

    def get(self, id: str) -> Job | None:
        """The job, if it is there."""

    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        """Jobs of *owner*, newest first, those older than the job *before* if that is not empty."""

    def ahead(self, job: Job) -> int:
        """How many queued jobs come before it."""

    def begin(self, id: str, now: float) -> Job | None:
        """Queued becomes running, with the next attempt; None when it is not queued (any more)."""

    def progress(self, job: Job, seconds_done: float, text: str) -> bool:
        """Note how far *job*'s attempt is; False when it should stop: cancelled, or given to somebody else."""

    def finish(self, job: Job, state: str, now: float, error: dict[str, Any] | None = None) -> bool:
        """The end of *job*'s attempt; False, and nothing changes, when it is no longer the current one."""

    def requeue(self, job: Job) -> bool:
        """Running, failed or cancelled becomes queued again; False when it was changed meanwhile."""

    def cancel(self, id: str, now: float) -> bool:
        """Queued or running becomes cancelled; False when it had ended."""

    def remove(self, id: str) -> None:
        """Forget it."""

    def finished_before(self, when: float) -> list[str]:
        """The ids of jobs that ended before *when*."""

    def webhooks_due(self, now: float) -> list[Job]:
        """Finished jobs whose webhook is to be sent by now."""

    def webhook_tried(self, job: Job, state: str, due_at: float | None) -> None:
        """A webhook was delivered, has failed for good, or is due again at *due_at*."""

    def counts(self, now: float) -> Counts:
        """How much there is to do."""
