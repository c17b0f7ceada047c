"""Who works on which job: leases, messages that are to be sent, and the parts of long jobs."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from redis.client import Pipeline

from ..job import QUEUED, RUNNING, Job
from .part import part_ids
from .records import job_key, key, note_hint, read, state_key, take_lease, write
from .transactions import Transactions, answered

# Parts are told of one after the other, so that those of a long job do not all stand before whatever comes next: when
# the one before has ended, and at the latest so long after it was told of. Idle workers take them earlier.
PART_SECONDS = 30.0  # about the work of one, ten minutes of speech on one processor
PAGE_READ = 100


class Dispatch(Transactions):
    """What workers have to know of jobs beside what a Store tells."""

    @answered
    def hold(self, job: Job) -> bool:
        """Keep the lease on *job*; False when the attempt is no longer the current one."""
        state, attempt = cast("list[str | None]", self._redis.hmget(job_key(job.id), ["state", "attempt"]))
        if state != json.dumps(RUNNING) or attempt != json.dumps(job.attempt):
            return False
        take_lease(self._redis, job)
        return True

    @answered
    def parts(self, job: Job) -> list[Job]:
        """The parts *job* is done in, in their order; empty when it is not, or when they are gone."""
        with self._redis.pipeline(transaction=False) as pipe:
            for id in part_ids(job):
                pipe.hgetall(job_key(id))
            return [part for found in pipe.execute() if (part := read(found)) is not None]

    @answered
    def untold_part(self, id: str) -> str | None:
        """The first part of the job *id* that no message was sent for yet."""
        job = self._load(self._redis, id)
        ids = part_ids(job) if job is not None else []
        with self._redis.pipeline(transaction=False) as pipe:
            for part_id in ids:
                pipe.zscore(key("hints"), part_id)
            hinted = pipe.execute()
        return next((part_id for part_id, due in zip(ids, hinted, strict=True) if due is not None), None)

    @answered
    def split(self, job: Job, asked: list[dict[str, Any]]) -> list[Job]:
        """
        Have *job* done in parts, one for each of *asked*, queued now; none when its attempt is no longer the
        current one. The job itself is running until they are joined, and nobody holds it.
        """
        made: list[Job] = []

        def edit(stored: Job) -> bool:
            if not same_attempt(stored, job):
                return False
            stored.extra["parts"] = len(asked)
            extra = {**job.extra, "part_of": job.id}
            made[:] = [
                Job(id, job.kind, of_part, owner=job.owner, created_at=job.created_at, extra=extra)
                for id, of_part in zip(part_ids(stored), asked, strict=True)
            ]
            return True

        def keep(pipe: Pipeline, stored: Job) -> None:
            for number, part in enumerate(made):
                write(pipe, part, None)
                note_hint(pipe, part, time.time() + number * PART_SECONDS)

        return made if self._change(job.id, edit, keep) else []

    @answered
    def lapsed(self) -> list[Job]:
        """Running jobs nobody holds; one that is done in parts is among them until they are joined."""
        ids = cast("list[str]", self._redis.zrange(state_key(RUNNING), 0, -1))
        with self._redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.exists(key("lease", id))
            held = pipe.execute()
        lost = [self._load(self._redis, id) for id, is_held in zip(ids, held, strict=True) if not is_held]
        return [job for job in lost if job is not None and job.state == RUNNING]

    @answered
    def hints_due(self, now: float) -> list[str]:
        """Queued jobs a message must be sent for by *now*."""
        return cast("list[str]", self._redis.zrangebyscore(key("hints"), "-inf", now, start=0, num=PAGE_READ))

    @answered
    def published(self, id: str) -> None:
        """A message was sent for this job."""
        self._redis.zrem(key("hints"), id)

    @answered
    def oldest_queued(self, now: float, number: int) -> list[str]:
        """The *number* oldest queued jobs that are due."""
        ids = cast("list[str]", self._redis.zrange(state_key(QUEUED), 0, PAGE_READ - 1))
        jobs = [self._load(self._redis, id) for id in ids[: 4 * number]]
        return [job.id for job in jobs if job is not None and job.state == QUEUED and job.due_at <= now][
            :number
        ]


def same_attempt(stored: Job, job: Job) -> bool:
    """Whether *job* is held by whoever was given it last."""
    return stored.state == RUNNING and stored.attempt == job.attempt
