"""The store of jobs in Redis, for web and workers on any machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from .. import STATES
from ..job import (
    FINISHED,
    QUEUED,
    RECORD_BYTES,
    RUNNING,
    SEGMENTS_READ,
    STORED_NAMES,
    SUCCEEDED,
    THROUGHPUT_JOBS,
    WEBHOOKS_READ,
    Counts,
    Job,
    Store,
    Throughput,
    from_record,
    is_part,
    part_ids,
    require_room,
    to_record,
)
from .transactions import wrap_redis_errors

PREFIX = "pam-voice:"
SENT = f"{PREFIX}sent"  # when the message of each job that has not ended was sent last, or is to be sent
# A worker renews the lease on its job this often, and has lost the job when it did not for so long.
BEAT_SECONDS, LEASE_SECONDS = 2.5, 10.0
PAGE_READ = 100
OVERDUE_READ = 1000  # messages that are looked at once
WITHOUT_TEXT = [name for name in STORED_NAMES if name != "text"]
Client = Any  # redis-py's answers are typed for its asynchronous client, too


@wrap_redis_errors
class RedisStore(Store):
    """
    A Store whose jobs any number of machines share, and what workers need to know beside it. Threads may share it.

    A job is a hash, one JSON value a field. All that a change is about is written in one transaction (MULTI), which
    fails when the hash was changed since it was read (WATCH), and is then repeated. *keep_retrying*: see
    wrap_redis_errors. Nothing is asked before the first call.
    """

    def __init__(self, client: Client, keep_retrying: Callable[[], bool] = lambda: False) -> None:
        self._redis, self.keep_retrying = client, keep_retrying

    def check(self) -> None:
        """BrokerUnavailable when Redis does not answer, or takes nothing: it is full, or a replica."""
        self._redis.set(key("written"), 1, px=10_000)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def add(self, job: Job, limit_bytes: int) -> Job:
        used = key("used", job.owner, job.idempotency_key)

        def adding(pipe: Client) -> Job:
            # It may have been added before Redis went away, and could not say so.
            for id in (*([str(pipe.get(used))] if job.idempotency_key else []), job.id):
                if (same := _load(pipe, id)) is not None:
                    return same
            require_room(self.counts(0.0).stored_bytes, job.file_bytes, limit_bytes)
            pipe.multi()
            if job.idempotency_key:
                pipe.set(used, job.id)
            write(pipe, job, None)
            return job

        kept: Job = self._redis.transaction(adding, used, key("bytes"), value_from_callable=True)
        return kept

    def change(
        self,
        id: str,
        edit: Callable[[Job], bool],
        segments: Sequence[bytes] = (),
        then: Callable[[Client, Job], None] = lambda pipe, job: None,
    ) -> Job | None:
        """As of every Store; *then* adds to the transaction."""

        def changing(pipe: Client) -> Job | None:
            stored = pipe.hgetall(key("job", id))
            before, job = read(stored), read(stored)
            if before is None or job is None or not edit(job):
                return None
            pipe.multi()
            write(pipe, job, before)
            if segments:
                pipe.rpush(key("segments", id), *segments)
            then(pipe, job)
            return job

        changed: Job | None = self._redis.transaction(changing, key("job", id), value_from_callable=True)
        return changed

    def remove(self, id: str) -> None:
        def removing(pipe: Client) -> None:
            if (job := _load(pipe, id)) is None:
                return
            pipe.multi()
            leave(pipe, job)
            for name in (*indexes(job), key("webhooks")):
                pipe.zrem(name, id)
            pipe.delete(key("job", id), key("segments", id))
            if job.idempotency_key:
                pipe.delete(key("used", job.owner, job.idempotency_key))
            count(pipe, job, job.file_bytes, 0)

        self._redis.transaction(removing, key("job", id))

    def find(self, owner: str, idempotency_key: str) -> Job | None:
        id = self._redis.get(key("used", owner, idempotency_key)) if idempotency_key else None
        return self.get(id) if id else None

    def get(self, id: str) -> Job | None:
        """The job; one that is divided into parts has the progress of all of them together."""
        job = _load(self._redis, id)
        if job is not None and job.state == RUNNING and (parts := self.parts(job)):
            # The parts count their seconds from the start of the whole recording.
            job.seconds_done = sum(max(0.0, part.seconds_done - part.params["clip"][0]) for part in parts)
            job.text = " ".join(part.text for part in parts if part.text)
        return job

    def some_segments(self, id: str, first: int) -> list[bytes]:
        lines = self._redis.lrange(key("segments", id), first, first + SEGMENTS_READ - 1)
        return [line.encode() for line in lines]

    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        """Jobs of *owner*; those made at the same time are ordered by their ids."""
        index, newest, wanted = key("jobs", owner, state), "+inf", limit
        if before:
            # Not by its rank: it may have left this state since the page before.
            created = self._redis.hget(key("job", before), "created_at")
            if created is None:
                return []
            newest, moment = created, float(created)
            limit += self._redis.zcount(index, created, created)
        scored = self._redis.zrevrangebyscore(index, newest, "-inf", start=0, num=limit, withscores=True)
        ids = [id for id, score in scored if not before or (score, id) < (moment, before)]
        return [job for job, _ in self._without_texts(ids[:wanted])]

    def ahead(self, job: Job) -> int:
        with self._redis.pipeline() as pipe:
            pipe.zrank(key("state", QUEUED), job.id)
            pipe.zcard(key("state", RUNNING))
            pipe.zscore(key("state", RUNNING), job.id)
            queued, running, started = pipe.execute()
        return int(queued or 0) + int(running) - (started is not None)

    def throughput(self, kind: str) -> Throughput | None:
        took = [json.loads(line) for line in self._redis.lrange(key("pace", kind), 0, -1)]
        if not took:
            return None
        seconds, size = sum(one[0] for one in took), sum(one[1] for one in took)
        return Throughput(seconds / len(took), seconds / max(1, size))

    def finished_before(self, when: float) -> list[str]:
        with self._redis.pipeline(transaction=False) as pipe:
            for state in FINISHED:
                pipe.zrangebyscore(key("state", state), "-inf", f"({when!r}", start=0, num=PAGE_READ)
            return [id for ids in pipe.execute() for id in ids][:PAGE_READ]

    def webhooks_due(self, now: float) -> list[Job]:
        ids = self._redis.zrangebyscore(key("webhooks"), "-inf", now, start=0, num=WEBHOOKS_READ)
        return [job for id in ids if (job := _load(self._redis, id)) is not None]

    def next_webhook_at(self) -> float | None:
        first = self._redis.zrange(key("webhooks"), 0, 0, withscores=True)
        return first[0][1] if first else None

    def counts(self, now: float) -> Counts:
        """How much there is to do; the parts of long jobs count as jobs while they are queued or running."""
        with self._redis.pipeline(transaction=False) as pipe:
            for state in STATES:
                pipe.zcard(key("state", state))
            pipe.zrange(key("state", QUEUED), 0, 0, withscores=True)
            pipe.get(key("bytes"))
            pipe.zrange(key("state", RUNNING), 0, PAGE_READ - 1)
            pipe.zrange(key("workers"), 0, -1, withscores=True)
            pipe.time()
            *numbers, oldest, file_bytes, running, workers, (seconds, _) = pipe.execute()
        # One with parts has no progress of its own.
        whole = [job for job, _ in self._without_texts(running) if not job.extra.get("parts")]
        progress = [job.progress_at for job in whole if job.progress_at is not None]
        return Counts(
            by_state=dict(zip(STATES, numbers, strict=True)),
            oldest_waiting_seconds=max(0.0, now - oldest[0][1]) if oldest else 0.0,
            stored_bytes=int(file_bytes or 0) + RECORD_BYTES * sum(numbers),
            oldest_progress_seconds=max(0.0, now - min(progress, default=now)),
            workers=sum(seen_at > seconds - LEASE_SECONDS for _, seen_at in workers),
        )

    def renew_lease(self, job: Job) -> bool:
        """Renew the lease on *job*; False when the attempt is no longer the current one."""
        state, attempt = self._redis.hmget(key("job", job.id), ["state", "attempt"])
        if state != json.dumps(RUNNING) or attempt != json.dumps(job.attempt):
            return False
        renew(self._redis, job)
        return True

    def is_held(self, id: str) -> bool:
        """Whether a worker has renewed the lease on the job in time."""
        return bool(self._redis.exists(key("lease", id)))

    def parts(self, job: Job) -> list[Job]:
        """The parts of *job* in their order; empty when it has none, or when they were deleted."""
        return [part for id in part_ids(job) if (part := _load(self._redis, id)) is not None]

    def split(self, job: Job, params: list[dict[str, Any]]) -> list[Job]:
        """
        Divide *job* into parts, one for each of *params*, which are queued now; none when its attempt is no longer
        the current one. The job itself is running, without a lease, until its parts are joined.
        """
        made: list[Job] = []

        def edit(stored: Job) -> bool:
            stored.extra = {**stored.extra, "parts": len(params)}
            extra = {**job.extra, "of": len(params)}
            made[:] = [
                Job(id, job.kind, one, owner=job.owner, created_at=job.created_at, extra=extra)
                for id, one in zip(part_ids(stored), params, strict=True)
            ]
            return stored.is_held_by(job)

        def keep(pipe: Client, stored: Job) -> None:
            for part in made:
                write(pipe, part, None)
            pipe.zadd(SENT, dict.fromkeys(part_ids(stored), time.time()))
            pipe.delete(key("lease", stored.id))

        return made if self.change(job.id, edit, then=keep) else []

    def note_sent(self, id: str) -> None:
        """The message for this job was sent now."""
        self._redis.zadd(SENT, {id: time.time()}, xx=True)

    def overdue(self, waiting_since: float, lost_since: float) -> list[Job]:
        """
        Jobs and parts without their texts whose message was sent before *waiting_since* and that are queued and due,
        or before *lost_since* and that run without a lease.
        """
        queued = self._redis.zrange(key("state", QUEUED), 0, PAGE_READ, withscores=True)
        if queued:  # by a release before, which noted nothing
            self._redis.zadd(SENT, dict(queued), nx=True)
        latest = max(waiting_since, lost_since)
        oldest = self._redis.zrangebyscore(SENT, "-inf", latest, start=0, num=OVERDUE_READ, withscores=True)
        sent = dict(oldest)
        limits = {QUEUED: waiting_since, RUNNING: lost_since}
        return [
            job
            for job, held in self._without_texts([*sent])
            if not held and max(sent[job.id], job.due_at) <= limits.get(job.state, 0.0)
        ]

    def begin_look(self, seconds: float) -> bool:
        """Whether nobody has looked after the jobs for so many *seconds*; from now on somebody has."""
        return bool(self._redis.set(key("looked"), 1, px=round(seconds * 1000), nx=True))

    def note_worker(self, name: str) -> None:
        """The worker *name* is there; one that is silent for longer than a lease is not. Redis's clock tells."""
        seconds, _ = self._redis.time()
        self._redis.zadd(key("workers"), {name: seconds})
        self._redis.zremrangebyscore(key("workers"), "-inf", seconds - LEASE_SECONDS)

    def forget_worker(self, name: str) -> None:
        """The worker *name* has ended."""
        self._redis.zrem(key("workers"), name)

    def _without_texts(self, ids: Sequence[str]) -> list[tuple[Job, bool]]:
        """The jobs that are there of these, and whether a worker holds them."""
        with self._redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.hmget(key("job", id), WITHOUT_TEXT)
                pipe.exists(key("lease", id))
            found = pipe.execute()
        jobs = [read(dict(zip(WITHOUT_TEXT, values, strict=True))) for values in found[::2]]
        return [(job, bool(held)) for job, held in zip(jobs, found[1::2], strict=True) if job is not None]


def _load(client: Client, id: str) -> Job | None:
    return read(client.hgetall(key("job", id)))


def key(*names: str) -> str:
    """Our name for something in Redis, where others may keep things too: `job` ID, `state` STATE, `lease` ID ..."""
    return PREFIX + ":".join(names)


def indexes(job: Job) -> list[str]:
    """The sets of its owner's jobs that *job* is in: of all of them, and of those in its state."""
    return [] if is_part(job.id) else [key("jobs", job.owner, ""), key("jobs", job.owner, job.state)]


def write(pipe: Client, job: Job, before: Job | None) -> None:
    """Store what is different from *before*, and put the job into the sets it now belongs to."""
    old = {} if before is None else to_record(before)
    changed = {
        name: json.dumps(value) for name, value in to_record(job).items() if not old or value != old[name]
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


def leave(pipe: Client, job: Job) -> None:
    """Remove it from the sets of its state; the parts of a job that no longer runs are deleted."""
    for index in indexes(job)[1:]:
        pipe.zrem(index, job.id)
    pipe.delete(key("lease", job.id))
    ids = part_ids(job)
    for state in {QUEUED, RUNNING, job.state}:
        pipe.zrem(key("state", state), job.id, *ids)
    pipe.zrem(SENT, job.id, *ids)
    if ids:
        pipe.delete(*(key(kind, id) for id in ids for kind in ("job", "lease", "segments")))


def count(pipe: Client, job: Job, before: int, now: int) -> None:
    """Add to the bytes of all files. Only whole jobs count: files of parts are gone as soon as they are joined."""
    if now != before and not is_part(job.id):
        pipe.incrby(key("bytes"), now - before)


def renew(client: Client, job: Job) -> None:
    """Take the lease on *job*, or renew it. Redis's own clock ends it: those of the machines may differ."""
    client.set(key("lease", job.id), job.attempt, px=round(LEASE_SECONDS * 1000))


def read(stored: dict[str, str | None]) -> Job | None:
    """The job of a hash; None where the hash is empty, because the job was deleted."""
    values = {name: json.loads(value) for name, value in stored.items() if value is not None}
    return from_record(values) if "id" in values else None
