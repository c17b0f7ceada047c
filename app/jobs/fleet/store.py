"""The store of jobs in Redis, for web and workers on any machine."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import cast

from .. import STATES
from ..job import (
    FINISHED,
    QUEUED,
    RECORD_BYTES,
    RUNNING,
    STORED_NAMES,
    WEBHOOKS_READ,
    Counts,
    Job,
    Store,
    Throughput,
    require_room,
)
from .dispatch import PAGE_READ, Dispatch
from .records import (
    LEASE_SECONDS,
    forget,
    index_key,
    job_key,
    key,
    note_unpublished,
    read,
    state_key,
    used_key,
    write,
)
from .transactions import TRIES, busy, executed, wrap_redis_errors

PUBLISHED_BY_SECONDS = 5.0  # after this long, whoever added a job did not live to send its message


class RedisStore(Dispatch, Store):
    """A Store whose jobs any number of machines share."""

    @wrap_redis_errors
    def add(self, job: Job, limit_bytes: int) -> Job:
        used = used_key(job.owner, job.idempotency_key)
        for _ in range(TRIES):
            with self._redis.pipeline() as pipe:
                pipe.watch(used, key("bytes"))
                same = self._load(pipe, str(pipe.get(used))) if job.idempotency_key else None
                if same is None:
                    same = self._load(pipe, job.id)  # added, but Redis went away before it could say so
                if same is not None:
                    return same
                require_room(self.counts(0.0).stored_bytes, job.file_bytes, limit_bytes)
                pipe.multi()
                if job.idempotency_key:
                    pipe.set(used, job.id)
                write(pipe, job, None)
                note_unpublished(pipe, job, job.created_at + PUBLISHED_BY_SECONDS)
                if executed(pipe):
                    return job
        raise busy()

    @wrap_redis_errors
    def find(self, owner: str, idempotency_key: str) -> Job | None:
        id = cast("str | None", self._redis.get(used_key(owner, idempotency_key)))
        return self.get(id) if id and idempotency_key else None

    @wrap_redis_errors
    def get(self, id: str) -> Job | None:
        """The job; one that is divided into parts has the progress of all of them together."""
        job = self._load(self._redis, id)
        if job is not None and job.state == RUNNING and (parts := self.parts(job)):
            # The parts count their seconds from the start of the whole recording.
            job.seconds_done = sum(max(0.0, part.seconds_done - part.params["clip"][0]) for part in parts)
            job.text = " ".join(part.text for part in parts if part.text)
        return job

    def segments(self, id: str) -> Iterator[bytes]:
        for first in itertools.count(0, PAGE_READ):
            lines = self._some_segments(id, first)
            yield from (line.encode() for line in lines)
            if len(lines) < PAGE_READ:
                return

    @wrap_redis_errors
    def _some_segments(self, id: str, first: int) -> list[str]:
        return cast("list[str]", self._redis.lrange(key("segments", id), first, first + PAGE_READ - 1))

    @wrap_redis_errors
    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        """Jobs of *owner*; those made at the same time are ordered by their ids."""
        names, wanted = [name for name in STORED_NAMES if name != "text"], limit
        index, newest = index_key(owner, state), "+inf"
        if before:
            # Not by its rank: it may have left this state since the page before.
            created = cast("str | None", self._redis.hget(job_key(before), "created_at"))
            if created is None:
                return []
            newest, moment = created, float(created)
            limit += self._redis.zcount(index, created, created)
        scored = cast(
            "list[tuple[str, float]]",
            self._redis.zrevrangebyscore(index, newest, "-inf", start=0, num=limit, withscores=True),
        )
        ids = [id for id, score in scored if not before or (score, id) < (moment, before)]
        with self._redis.pipeline(transaction=False) as pipe:
            for id in ids[:wanted]:
                pipe.hmget(job_key(id), names)
            found = [dict(zip(names, values, strict=True)) for values in pipe.execute()]
        return [job for values in found if (job := read(values)) is not None]

    @wrap_redis_errors
    def ahead(self, job: Job) -> int:
        with self._redis.pipeline() as pipe:
            pipe.zrank(state_key(QUEUED), job.id)
            pipe.zcard(state_key(RUNNING))
            pipe.zscore(state_key(RUNNING), job.id)
            queued, running, started = pipe.execute()
        return int(queued or 0) + int(running) - (started is not None)

    @wrap_redis_errors
    def throughput(self, kind: str) -> Throughput | None:
        lines = cast("list[str]", self._redis.lrange(key("pace", kind), 0, -1))
        if not lines:
            return None
        took = [json.loads(line) for line in lines]
        seconds, size = sum(one[0] for one in took), sum(one[1] for one in took)
        return Throughput(seconds / len(took), seconds / max(1, size))

    @wrap_redis_errors
    def remove(self, id: str) -> None:
        for _ in range(TRIES):
            with self._redis.pipeline() as pipe:
                pipe.watch(job_key(id))
                job = self._load(pipe, id)
                if job is None:
                    return
                pipe.multi()
                forget(pipe, job)
                if executed(pipe):
                    return
        raise busy()

    @wrap_redis_errors
    def finished_before(self, when: float) -> list[str]:
        with self._redis.pipeline(transaction=False) as pipe:
            for state in FINISHED:
                pipe.zrangebyscore(state_key(state), "-inf", f"({when!r}", start=0, num=PAGE_READ)
            return [id for ids in pipe.execute() for id in ids][:PAGE_READ]

    @wrap_redis_errors
    def webhooks_due(self, now: float) -> list[Job]:
        ids = cast(
            "list[str]", self._redis.zrangebyscore(key("webhooks"), "-inf", now, start=0, num=WEBHOOKS_READ)
        )
        return [job for id in ids if (job := self._load(self._redis, id)) is not None]

    @wrap_redis_errors
    def next_webhook_at(self) -> float | None:
        first = cast("list[tuple[str, float]]", self._redis.zrange(key("webhooks"), 0, 0, withscores=True))
        return first[0][1] if first else None

    @wrap_redis_errors
    def counts(self, now: float) -> Counts:
        """How much there is to do; the parts of long jobs count as jobs while they are queued or running."""
        with self._redis.pipeline(transaction=False) as pipe:
            for state in STATES:
                pipe.zcard(state_key(state))
            pipe.zrange(state_key(QUEUED), 0, 0, withscores=True)
            pipe.get(key("bytes"))
            pipe.zrange(state_key(RUNNING), 0, PAGE_READ - 1)
            pipe.zrange(key("workers"), 0, -1, withscores=True)
            pipe.time()
            *by_state, oldest, file_bytes, running, workers, (seconds, _) = pipe.execute()
        numbers = dict(zip(STATES, by_state, strict=True))
        return Counts(
            queued=numbers[QUEUED],
            running=numbers[RUNNING],
            oldest_waiting_seconds=max(0.0, now - oldest[0][1]) if oldest else 0.0,
            stored_bytes=int(file_bytes or 0) + RECORD_BYTES * sum(by_state),
            by_state=numbers,
            oldest_progress_seconds=max(0.0, now - self._oldest_progress(running, now)),
            workers=sum(seen_at > seconds - LEASE_SECONDS for _, seen_at in workers),
        )

    def _oldest_progress(self, ids: list[str], now: float) -> float:
        """When the job among *ids* that stands still the longest got further; one with parts has no progress."""
        with self._redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.hmget(job_key(id), "progress_at", "extra")
            found = pipe.execute()
        moments = [
            json.loads(progress_at)
            for progress_at, extra in found
            if progress_at is not None and not (extra and json.loads(extra).get("parts"))
        ]
        return min((moment for moment in moments if moment is not None), default=now)
