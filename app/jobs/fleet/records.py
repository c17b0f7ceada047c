"""How a job is stored in Redis: its hash, the sets that order jobs, and its lease."""

from __future__ import annotations

import json
from typing import Any

import redis
from redis.client import Pipeline

from ..job import (
    FINISHED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    THROUGHPUT_JOBS,
    Job,
    from_record,
    is_part,
    part_ids,
    to_record,
)

PREFIX = "pam-voice:"
UNPUBLISHED = "hints"  # the set of jobs whose message is still to be sent; its name is that of 0.2.0
# A worker renews the lease on its job this often, and has lost the job when it did not for so long.
BEAT_SECONDS, LEASE_SECONDS = 2.5, 10.0


def write(pipe: Pipeline, job: Job, before: Job | None) -> None:
    """Store what is different from *before*, and put the job into the sets it now belongs to."""
    old = {} if before is None else to_record(before)
    changed: dict[Any, Any] = {
        name: json.dumps(value)
        for name, value in to_record(job).items()
        if before is None or value != old[name]
    }
    if changed:
        pipe.hset(job_key(job.id), mapping=changed)
    if not job.resume and before is not None and before.resume:
        pipe.delete(key("segments", job.id))
    if before is None or before.state != job.state:
        if before is not None:
            leave(pipe, before)
            _follow(pipe, job)
        if not (is_part(job.id) and job.state in FINISHED):
            pipe.zadd(state_key(job.state), {job.id: moment(job)})
        if not is_part(job.id):
            pipe.zadd(index_key(job.owner), {job.id: job.created_at})
            pipe.zadd(index_key(job.owner, job.state), {job.id: job.created_at})
    if job.webhook_state == "pending":
        pipe.zadd(key("webhooks"), {job.id: job.webhook_due_at or 0.0})
    else:
        pipe.zrem(key("webhooks"), job.id)
    count(pipe, job, (0 if before is None else before.file_bytes), job.file_bytes)


def _follow(pipe: Pipeline, job: Job) -> None:
    """What its new state brings: a lease, a message that is due, or a line for the throughput."""
    if job.state == RUNNING:
        renew(pipe, job)
    elif job.state == QUEUED:
        note_unpublished(pipe, job, job.due_at)
    elif job.state == SUCCEEDED and not is_part(job.id):
        took = (job.finished_at or 0.0) - (job.started_at or 0.0)
        pipe.lpush(key("pace", job.kind), json.dumps([took, job.size_bytes]))
        pipe.ltrim(key("pace", job.kind), 0, THROUGHPUT_JOBS - 1)


def leave(pipe: Pipeline, job: Job) -> None:
    """Remove it from the sets of its state; the parts of a job that no longer runs are deleted."""
    pipe.zrem(state_key(job.state), job.id)
    pipe.zrem(index_key(job.owner, job.state), job.id)
    pipe.zrem(key(UNPUBLISHED), job.id)
    pipe.delete(key("lease", job.id))
    for id in part_ids(job):
        pipe.delete(job_key(id), key("lease", id), key("segments", id))
        for set_key in (state_key(QUEUED), state_key(RUNNING), key(UNPUBLISHED)):
            pipe.zrem(set_key, id)


def forget(pipe: Pipeline, job: Job) -> None:
    """Delete it, and all that points to it."""
    leave(pipe, job)
    pipe.zrem(index_key(job.owner), job.id)
    pipe.zrem(key("webhooks"), job.id)
    pipe.delete(job_key(job.id), key("segments", job.id))
    if job.idempotency_key:
        pipe.delete(used_key(job.owner, job.idempotency_key))
    count(pipe, job, job.file_bytes, 0)


def count(pipe: Pipeline, job: Job, before: int, now: int) -> None:
    """Add to the bytes of all files. Only whole jobs count: files of parts are gone as soon as they are joined."""
    if now != before and not is_part(job.id):
        pipe.incrby(key("bytes"), now - before)


def renew(client: redis.Redis, job: Job) -> None:
    """Take the lease on *job*, or renew it. Redis's own clock ends it: those of the machines may differ."""
    client.set(key("lease", job.id), job.attempt, px=round(LEASE_SECONDS * 1000))


def note_unpublished(pipe: Pipeline, job: Job, due_at: float) -> None:
    """Put *job* into the outbox: a worker sends its message at *due_at*, unless it was sent before."""
    pipe.zadd(key(UNPUBLISHED), {job.id: due_at})


def moment(job: Job) -> float:
    """What jobs of its state are ordered by: when it was made, started or finished."""
    moments = {QUEUED: job.created_at, RUNNING: job.started_at}
    return moments.get(job.state, job.finished_at) or 0.0


def read(stored: dict[str, str | None]) -> Job | None:
    """The job of a hash; None where the hash is empty, because the job was deleted."""
    values = {name: json.loads(value) for name, value in stored.items() if value is not None}
    return from_record(values) if "id" in values else None


def key(*names: str) -> str:
    """Our name for something in Redis, where others may keep things too."""
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
