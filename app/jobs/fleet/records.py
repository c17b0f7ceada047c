"""How a job lies in Redis: its hash, the sets that have its order, and what is to be done about it."""

from __future__ import annotations

import dataclasses
import json

import redis
from redis.client import Pipeline

from ..job import FINISHED, QUEUED, RUNNING, Job
from .part import is_part, part_ids

PREFIX = "pam-voice:"
# A worker that is alive says so this often for each job it holds, and one that was silent for so long has lost it.
BEAT_SECONDS, LEASE_SECONDS = 2.5, 10.0

FIELDS = [field.name for field in dataclasses.fields(Job)]


def write(pipe: Pipeline, job: Job, before: Job | None) -> None:
    """Store what is different from *before*, and have the job in the sets it now belongs to."""
    names = (
        FIELDS if before is None else [name for name in FIELDS if getattr(job, name) != getattr(before, name)]
    )
    if names:
        pipe.hset(job_key(job.id), mapping={name: json.dumps(getattr(job, name)) for name in names})
    if before is None or before.state != job.state:
        if before is not None:
            leave(pipe, before)
        if not (is_part(job) and job.state in FINISHED):
            pipe.zadd(state_key(job.state), {job.id: moment(job)})
        if not is_part(job):
            pipe.zadd(index_key(job.owner), {job.id: job.created_at})
            pipe.zadd(index_key(job.owner, job.state), {job.id: job.created_at})
    if job.webhook_state == "pending":
        pipe.zadd(key("webhooks"), {job.id: job.webhook_due_at or 0.0})
    else:
        pipe.zrem(key("webhooks"), job.id)
    count(pipe, job, (0 if before is None else before.stored_bytes), job.stored_bytes)


def leave(pipe: Pipeline, job: Job) -> None:
    """Take it out of what its state put it into; the parts of a job that is no longer running go with that."""
    pipe.zrem(state_key(job.state), job.id)
    pipe.zrem(index_key(job.owner, job.state), job.id)
    pipe.zrem(key("hints"), job.id)
    pipe.delete(key("lease", job.id))
    for id in part_ids(job):
        pipe.delete(job_key(id), key("lease", id))
        for set_key in (state_key(QUEUED), state_key(RUNNING), key("hints")):
            pipe.zrem(set_key, id)


def forget(pipe: Pipeline, job: Job) -> None:
    """Remove it, and all that points to it."""
    leave(pipe, job)
    pipe.zrem(index_key(job.owner), job.id)
    pipe.zrem(key("webhooks"), job.id)
    pipe.delete(job_key(job.id))
    if job.idempotency_key:
        pipe.delete(used_key(job.owner, job.idempotency_key))
    count(pipe, job, job.stored_bytes, 0)


def count(pipe: Pipeline, job: Job, before: int, now: int) -> None:
    """Parts' files are gone as soon as they are joined: only whole jobs count."""
    if now != before and not is_part(job):
        pipe.incrby(key("bytes"), now - before)


def take_lease(client: redis.Redis, job: Job) -> None:
    """Redis's own clock ends it: those of the machines may differ."""
    client.set(key("lease", job.id), job.attempt, px=round(LEASE_SECONDS * 1000))


def note_hint(pipe: Pipeline, job: Job, due_at: float) -> None:
    """A message is to be sent for it at *due_at*, unless somebody does before."""
    pipe.zadd(key("hints"), {job.id: due_at})


def moment(job: Job) -> float:
    """What its state is ordered by: when it was made, begun or ended."""
    moments = {QUEUED: job.created_at, RUNNING: job.started_at}
    return moments.get(job.state, job.finished_at) or 0.0


def read(stored: dict[str, str | None]) -> Job | None:
    """The job of a hash; fields it has not, because a newer version knows them, are as in a new job."""
    values = {
        name: json.loads(value) for name, value in stored.items() if name in FIELDS and value is not None
    }
    return Job(**values) if "id" in values else None


def key(*names: str) -> str:
    """What we call something in Redis, beside whatever else is there."""
    return PREFIX + ":".join(names)


def job_key(id: str) -> str:
    """A job's hash."""
    return key("job", id)


def state_key(state: str) -> str:
    """The set of all jobs in *state*."""
    return key("state", state)


def index_key(owner: str, state: str = "") -> str:
    """The set of *owner*'s jobs, of those in *state* where one is given."""
    return key("jobs", owner, state)


def used_key(owner: str, idempotency_key: str) -> str:
    """Where the id of the job is that *owner* made with this key."""
    return key("used", owner, idempotency_key)
