"""Which worker runs which job: leases, the outbox of messages, workers that were seen, and parts of long jobs."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from redis.client import Pipeline

from ..job import QUEUED, RUNNING, Job, part_ids
from .records import (
    LEASE_SECONDS,
    UNPUBLISHED,
    job_key,
    key,
    note_unpublished,
    read,
    renew,
    state_key,
    write,
)
from .transactions import Transactions, wrap_redis_errors

# Messages for parts are sent one after the other, so that not all parts of a long job are queued before the jobs that
# come next: when the part before has ended, and at the latest this long after its message. Idle workers take parts
# earlier.
PART_SECONDS = 30.0  # about the work of one, ten minutes of speech on one processor
PAGE_READ = 100


class Dispatch(Transactions):
    """What workers need to know about jobs beside the methods of a Store."""

    @wrap_redis_errors
    def renew_lease(self, job: Job) -> bool:
        """Renew the lease on *job*; False when the attempt is no longer the current one."""
        state, attempt = cast("list[str | None]", self._redis.hmget(job_key(job.id), ["state", "attempt"]))
        if state != json.dumps(RUNNING) or attempt != json.dumps(job.attempt):
            return False
        renew(self._redis, job)
        return True

    @wrap_redis_errors
    def parts(self, job: Job) -> list[Job]:
        """The parts of *job* in their order; empty when it has none, or when they were deleted."""
        with self._redis.pipeline(transaction=False) as pipe:
            for id in part_ids(job):
                pipe.hgetall(job_key(id))
            return [part for found in pipe.execute() if (part := read(found)) is not None]

    @wrap_redis_errors
    def next_unpublished_part(self, id: str) -> str | None:
        """The first part of the job *id* whose message was not sent yet."""
        job = self._load(self._redis, id)
        ids = part_ids(job) if job is not None else []
        with self._redis.pipeline(transaction=False) as pipe:
            for part_id in ids:
                pipe.zscore(key(UNPUBLISHED), part_id)
            unpublished = pipe.execute()
        return next((part_id for part_id, due in zip(ids, unpublished, strict=True) if due is not None), None)

    @wrap_redis_errors
    def split(self, job: Job, params: list[dict[str, Any]]) -> list[Job]:
        """
        Divide *job* into parts, one for each of *params*, which are queued now; none when its attempt is no longer
        the current one. The job itself is running, without a lease, until its parts are joined.
        """
        made: list[Job] = []

        def edit(stored: Job) -> bool:
            if not stored.is_held_by(job):
                return False
            stored.extra = {**stored.extra, "parts": len(params)}
            extra = {**job.extra, "part_of": job.id}
            made[:] = [
                Job(id, job.kind, of_part, owner=job.owner, created_at=job.created_at, extra=extra)
                for id, of_part in zip(part_ids(stored), params, strict=True)
            ]
            return True

        def keep(pipe: Pipeline, stored: Job) -> None:
            for number, part in enumerate(made):
                write(pipe, part, None)
                note_unpublished(pipe, part, time.time() + number * PART_SECONDS)

        return made if self.change(job.id, edit, then=keep) else []

    @wrap_redis_errors
    def expired_leases(self) -> list[Job]:
        """Running jobs without a lease; a job with parts is one of them until its parts are joined."""
        ids = cast("list[str]", self._redis.zrange(state_key(RUNNING), 0, -1))
        with self._redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.exists(key("lease", id))
            held = pipe.execute()
        lost = [self._load(self._redis, id) for id, is_held in zip(ids, held, strict=True) if not is_held]
        return [job for job in lost if job is not None and job.state == RUNNING]

    @wrap_redis_errors
    def unpublished(self, now: float) -> list[str]:
        """Queued jobs whose message must be sent by *now*."""
        return cast(
            "list[str]", self._redis.zrangebyscore(key(UNPUBLISHED), "-inf", now, start=0, num=PAGE_READ)
        )

    @wrap_redis_errors
    def mark_published(self, id: str) -> None:
        """The message for this job was sent."""
        self._redis.zrem(key(UNPUBLISHED), id)

    @wrap_redis_errors
    def oldest_queued(self, now: float, number: int) -> list[str]:
        """The *number* oldest queued jobs that are due."""
        ids = cast("list[str]", self._redis.zrange(state_key(QUEUED), 0, PAGE_READ - 1))
        jobs = [self._load(self._redis, id) for id in ids[: 4 * number]]
        return [job.id for job in jobs if job is not None and job.state == QUEUED and job.due_at <= now][
            :number
        ]

    @wrap_redis_errors
    def note_worker(self, name: str) -> None:
        """The worker *name* is there; one that is silent for longer than a lease is not. Redis's clock tells."""
        seconds, _ = self._redis.time()
        with self._redis.pipeline() as pipe:
            pipe.zadd(key("workers"), {name: seconds})
            pipe.zremrangebyscore(key("workers"), "-inf", seconds - LEASE_SECONDS)
            pipe.execute()

    @wrap_redis_errors
    def forget_worker(self, name: str) -> None:
        """The worker *name* has ended."""
        self._redis.zrem(key("workers"), name)
