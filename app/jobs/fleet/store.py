"""Where jobs stand, in Redis, for web and workers on any machine."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from redis.client import Pipeline

from ...errors import InsufficientStorage
from .. import STATES
from ..job import CANCELLED, FAILED, FINISHED, QUEUED, RUNNING, SUCCEEDED, Counts, Job, Pace
from .dispatch import PAGE_READ, Dispatch, same_attempt
from .part import is_part
from .records import (
    FIELDS,
    forget,
    index_key,
    job_key,
    key,
    note_hint,
    read,
    state_key,
    take_lease,
    used_key,
    write,
)
from .transactions import TRIES, answered, busy, executed

PUBLISHED_BY_SECONDS = 5.0  # after this long the sweep takes it that whoever added a job did not live to tell
PACE_JOBS = 20  # how many of the last jobs of a kind tell its pace


class RedisStore(Dispatch):
    """A Store whose jobs any number of machines share."""

    @answered
    def add(self, job: Job, limit_bytes: int) -> Job:
        """
        Keep a new job; the one that is there already when its owner used its idempotency key before.

        InsufficientStorage when all jobs would then take more than *limit_bytes*.
        """
        used = used_key(job.owner, job.idempotency_key)
        for _ in range(TRIES):
            with self._redis.pipeline() as pipe:
                pipe.watch(used, key("bytes"))
                same = self._load(pipe, str(pipe.get(used))) if job.idempotency_key else None
                if same is None:
                    same = self._load(pipe, job.id)  # added, but Redis went away before it could say so
                if same is not None:
                    return same
                if int(pipe.get(key("bytes")) or 0) + job.stored_bytes > limit_bytes:
                    raise InsufficientStorage(
                        f"jobs may take {limit_bytes >> 20} MB (JOB_DISK_MB) and there is no room for this one; "
                        "remove finished ones or try again when some have expired"
                    )
                pipe.multi()
                if job.idempotency_key:
                    pipe.set(used, job.id)
                write(pipe, job, None)
                pipe.zadd(key("hints"), {job.id: job.created_at + PUBLISHED_BY_SECONDS})
                if executed(pipe):
                    return job
        raise busy()

    @answered
    def find(self, owner: str, idempotency_key: str) -> Job | None:
        """The job *owner* made with that key."""
        id = cast("str | None", self._redis.get(used_key(owner, idempotency_key)))
        return self.get(id) if id and idempotency_key else None

    @answered
    def get(self, id: str) -> Job | None:
        """The job, if it is there; one that is done in parts is as far as they are together."""
        job = self._load(self._redis, id)
        if job is not None and job.state == RUNNING and (parts := self.parts(job)):
            # Times are those of the whole recording, in parts as well.
            job.seconds_done = sum(max(0.0, part.seconds_done - part.asked["clip"][0]) for part in parts)
            job.text = " ".join(part.text for part in parts if part.text)
        return job

    @answered
    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        """
        Jobs of *owner* without their texts, newest first: those in *state* and older than the job *before*,
        where these are not empty.
        """
        names = [name for name in FIELDS if name != "text"]
        index = index_key(owner, state)
        newest = "+inf"
        if before:
            # Not by its rank: it may have left this state since the page before.
            created = cast("str | None", self._redis.hget(job_key(before), "created_at"))
            if created is None:
                return []
            newest = f"({created}"
        ids = cast(
            "list[str]",
            self._redis.zrevrangebyscore(index, newest, "-inf", start=0, num=min(limit, PAGE_READ)),
        )
        with self._redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.hmget(job_key(id), names)
            found = [dict(zip(names, values, strict=True)) for values in pipe.execute()]
        return [job for values in found if (job := read(values)) is not None]

    @answered
    def ahead(self, job: Job) -> int:
        """How many jobs that are queued or running come before it."""
        with self._redis.pipeline() as pipe:
            pipe.zcount(state_key(QUEUED), "-inf", f"({job.created_at!r}")
            pipe.zcard(state_key(RUNNING))
            queued, running = pipe.execute()
        return int(queued) + int(running)

    @answered
    def pace(self, kind: str) -> Pace | None:
        """How long the last jobs of *kind* that succeeded took; None before the first."""
        lines = cast("list[str]", self._redis.lrange(key("pace", kind), 0, -1))
        if not lines:
            return None
        took = [json.loads(line) for line in lines]
        seconds, size = sum(one[0] for one in took), sum(one[1] for one in took)
        return Pace(seconds / len(took), seconds / max(1, size))

    @answered
    def begin(self, id: str, now: float) -> Job | None:
        """
        Queued becomes running, with the next attempt and a lease; None when it is not queued (any more) or not
        yet due.
        """

        def edit(job: Job) -> bool:
            if job.state != QUEUED or job.due_at > now:
                return False
            job.state, job.started_at, job.attempt = RUNNING, now, job.attempt + 1
            job.seconds_done, job.text = 0.0, ""
            return True

        return self._change(id, edit, lambda pipe, job: take_lease(pipe, job))

    @answered
    def progress(self, job: Job) -> bool:
        """
        Note *job*'s seconds_done and text; False when its worker should stop: it was cancelled, removed, or
        given to somebody else.
        """

        def edit(now: Job) -> bool:
            if not same_attempt(now, job):
                return False
            now.seconds_done, now.text = job.seconds_done, job.text
            return True

        return self._change(job.id, edit) is not None

    @answered
    def finish(self, job: Job, state: str, now: float, error: dict[str, Any] | None = None) -> bool:
        """
        The end of *job*'s attempt, with its seconds_done, text, result and result_bytes; False, and nothing
        changes, when the attempt is no longer the current one.
        """

        def edit(stored: Job) -> bool:
            if not same_attempt(stored, job):
                return False
            for name in ("seconds_done", "text", "result", "result_bytes", "failures"):
                setattr(stored, name, getattr(job, name))
            _end(stored, state, now, error)
            return True

        def note_pace(pipe: Pipeline, ended: Job) -> None:
            if state == SUCCEEDED and not is_part(ended):
                line = json.dumps([now - (ended.started_at or now), ended.size_bytes])
                pipe.lpush(key("pace", ended.kind), line)
                pipe.ltrim(key("pace", ended.kind), 0, PACE_JOBS - 1)

        return self._change(job.id, edit, note_pace) is not None

    @answered
    def put_back(self, job: Job, due_at: float) -> bool:
        """Running becomes queued again, with *job*'s failures; False when its attempt is no longer the current one."""

        def edit(stored: Job) -> bool:
            if not same_attempt(stored, job):
                return False
            stored.state, stored.due_at, stored.failures = QUEUED, due_at, job.failures
            stored.extra.pop("parts", None)
            return True

        return self._change(job.id, edit, lambda pipe, job: note_hint(pipe, job, due_at)) is not None

    @answered
    def requeue(self, id: str) -> bool:
        """Failed or cancelled becomes queued, as new; False when it is something else."""

        def edit(job: Job) -> bool:
            if job.state not in (FAILED, CANCELLED):
                return False
            fresh = Job(job.id, job.kind, job.asked)
            for name in ("state", "started_at", "finished_at", "due_at", "failures", "seconds_done", "text",
                         "result", "error", "result_bytes", "webhook_state", "webhook_attempts",
                         "webhook_due_at"):  # fmt: skip
                setattr(job, name, getattr(fresh, name))
            job.extra.pop("parts", None)
            return True

        return self._change(id, edit, lambda pipe, job: note_hint(pipe, job, time.time())) is not None

    @answered
    def cancel(self, id: str, now: float) -> bool:
        """Queued or running becomes cancelled; False when it had ended."""

        def edit(job: Job) -> bool:
            if job.state in FINISHED:
                return False
            _end(job, CANCELLED, now, None)
            return True

        return self._change(id, edit) is not None

    @answered
    def remove(self, id: str) -> None:
        """Forget it."""
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

    @answered
    def finished_before(self, when: float) -> list[str]:
        """The ids of jobs that ended before *when*, at most 100."""
        with self._redis.pipeline(transaction=False) as pipe:
            for state in FINISHED:
                pipe.zrangebyscore(state_key(state), "-inf", f"({when!r}", start=0, num=PAGE_READ)
            return [id for ids in pipe.execute() for id in ids][:PAGE_READ]

    @answered
    def webhooks_due(self, now: float) -> list[Job]:
        """Finished jobs whose webhook is pending and due by *now*, the soonest first, at most 100."""
        ids = cast(
            "list[str]", self._redis.zrangebyscore(key("webhooks"), "-inf", now, start=0, num=PAGE_READ)
        )
        return [job for id in ids if (job := self._load(self._redis, id)) is not None]

    @answered
    def webhook_begin(self, job: Job, due_at: float) -> bool:
        """
        Claim the next try for the job's webhook, which counts it, and have the one after it at *due_at*; False
        when the webhook is no longer pending or somebody else has tried since *job* was read.
        """

        def edit(stored: Job) -> bool:
            if stored.webhook_state != "pending" or stored.webhook_attempts != job.webhook_attempts:
                return False
            stored.webhook_attempts, stored.webhook_due_at = stored.webhook_attempts + 1, due_at
            return True

        return self._change(job.id, edit) is not None

    @answered
    def webhook_ended(self, job: Job, state: str) -> None:
        """The webhook is "delivered", or has "failed" for good."""

        def edit(stored: Job) -> bool:
            stored.webhook_state, stored.webhook_due_at = state, None
            return True

        self._change(job.id, edit)

    @answered
    def counts(self, now: float) -> Counts:
        """How much there is to do."""
        with self._redis.pipeline(transaction=False) as pipe:
            for state in STATES:
                pipe.zcard(state_key(state))
            pipe.zrange(state_key(QUEUED), 0, 0, withscores=True)
            pipe.get(key("bytes"))
            *by_state, oldest, stored = pipe.execute()
        numbers = dict(zip(STATES, by_state, strict=True))
        waiting = max(0.0, now - oldest[0][1]) if oldest else 0.0
        return Counts(numbers[QUEUED], numbers[RUNNING], waiting, int(stored or 0), numbers)


def _end(job: Job, state: str, now: float, error: dict[str, Any] | None) -> None:
    job.state, job.finished_at, job.error = state, now, error
    if job.webhook_url:
        job.webhook_state, job.webhook_due_at = "pending", now
