"""How a job is stored in Redis: its hash, the sets that order jobs, and its lease."""

from __future__ import annotations

import json
from typing import Any

from redis import Redis
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
SENT = f"{PREFIX}sent"  # when the message of each job that has not ended was sent last, or is to be sent
# A worker renews the lease on its job this often, and has lost the job when it did not for so long.
BEAT_SECONDS, LEASE_SECONDS = 2.5, 10.0


def key(*names: str) -> str:
    """Our name for something in Redis, where others may keep things too: `job` ID, `state` STATE, `lease` ID ..."""
    return PREFIX + ":".join(names)


def indexes(job: Job) -> list[str]:
    """The sets of its owner's jobs that *job* is in: of all of them, and of those in its state."""
    return [] if is_part(job.id) else [key("jobs", job.owner, ""), key("jobs", job.owner, job.state)]


def write(pipe: Pipeline, job: Job, before: Job | None) -> None:
    """Store what is different from *before*, and put the job into the sets it now belongs to."""
    old = {} if before is None else to_record(before)
    record = to_record(job).items()
    changed: dict[Any, Any] = {
        name: json.dumps(value) for name, value in record if before is None or value != old[name]
    }
    if changed:
        pipe.hset(key("job", job.id), mapping=changed)
    if before is not None and before.resume and not job.resume:
        pipe.delete(key("segments", job.id))
    if before is None or before.state != job.state:
        if before is not None:
            leave(pipe, before)
        if not (is_part(job.id) and job.state in FINISHED):
            moments = {QUEUED: job.created_at, RUNNING: job.started_at}
            pipe.zadd(key("state", job.state), {job.id: moments.get(job.state, job.finished_at) or 0.0})
        for index in indexes(job):
            pipe.zadd(index, {job.id: job.created_at})
        if job.state == RUNNING:
            renew(pipe, job)
            pipe.zadd(SENT, {job.id: job.started_at or 0.0})
        elif job.state == QUEUED:
            pipe.zadd(SENT, {job.id: max(job.created_at if before is None else 0.0, job.due_at)})
        elif job.state == SUCCEEDED and not is_part(job.id):
            took = (job.finished_at or 0.0) - (job.started_at or 0.0)
            pipe.lpush(key("pace", job.kind), json.dumps([took, job.size_bytes]))
            pipe.ltrim(key("pace", job.kind), 0, THROUGHPUT_JOBS - 1)
    if job.webhook_state == "pending":
        pipe.zadd(key("webhooks"), {job.id: job.webhook_due_at or 0.0})
    else:
        pipe.zrem(key("webhooks"), job.id)
    count(pipe, job, 0 if before is None else before.file_bytes, job.file_bytes)


def leave(pipe: Pipeline, job: Job) -> None:
    """Remove it from the sets of its state; the parts of a job that no longer runs are deleted."""
    for index in indexes(job)[1:]:
        pipe.zrem(index, job.id)
    pipe.delete(key("lease", job.id))
    ids = part_ids(job)
    for state in (QUEUED, RUNNING, *({job.state} - {QUEUED, RUNNING})):
        pipe.zrem(key("state", state), job.id, *ids)
    pipe.zrem(SENT, job.id, *ids)
    if ids:
        pipe.delete(*(key(kind, id) for id in ids for kind in ("job", "lease", "segments")))


def forget(pipe: Pipeline, job: Job) -> None:
    """Delete it, and all that points to it."""
    leave(pipe, job)
    for name in (*indexes(job), key("webhooks")):
        pipe.zrem(name, job.id)
    pipe.delete(key("job", job.id), key("segments", job.id))
    if job.idempotency_key:
        pipe.delete(key("used", job.owner, job.idempotency_key))
    count(pipe, job, job.file_bytes, 0)


def count(pipe: Pipeline, job: Job, before: int, now: int) -> None:
    """Add to the bytes of all files. Only whole jobs count: files of parts are gone as soon as they are joined."""
    if now != before and not is_part(job.id):
        pipe.incrby(key("bytes"), now - before)


def renew(client: Redis, job: Job) -> None:
    """Take the lease on *job*, or renew it. Redis's own clock ends it: those of the machines may differ."""
    client.set(key("lease", job.id), job.attempt, px=round(LEASE_SECONDS * 1000))


def read(stored: dict[str, str | None]) -> Job | None:
    """The job of a hash; None where the hash is empty, because the job was deleted."""
    values = {name: json.loads(value) for name, value in stored.items() if value is not None}
    return from_record(values) if "id" in values else None
