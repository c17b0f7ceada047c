"""Where jobs stand, in Redis, for web and workers on any machine."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from ...errors import BrokerUnavailable, InsufficientStorage
from ..job import CANCELLED, FAILED, FINISHED, QUEUED, RUNNING, STATES, SUCCEEDED, Counts, Job, Pace
from .part import is_part, part_ids

log = logging.getLogger(__name__)

PREFIX = "pam-voice:"
# A worker that is alive says so this often for each job it holds, and one that was silent for so long has lost it.
BEAT_SECONDS, LEASE_SECONDS = 2.5, 10.0
# A broker that is away is found out within twice the first, an answer that hangs within the second.
CONNECT_SECONDS, ANSWER_SECONDS = 0.7, 1.5
PUBLISHED_BY_SECONDS = 5.0  # after this long the sweep takes it that whoever added a job did not live to tell
# Parts are told of one after the other, so that those of a long job do not all stand before whatever comes next: when
# the one before has ended, and at the latest so long after it was told of. Idle workers take them earlier.
PART_SECONDS = 30.0  # about the work of one, ten minutes of speech on one processor
TRIES = 200  # of a change, each lost to another one of the same job
PACE_JOBS = 20  # how many of the last jobs of a kind tell its pace
PAGE_READ = 100

FIELDS = [field.name for field in dataclasses.fields(Job)]

Call = TypeVar("Call", bound=Callable[..., Any])
Edit = Callable[[Job], bool]


def connect(url: str) -> redis.Redis:
    """A client for *url*; a connection that Redis closed meanwhile is opened again, once."""
    client: redis.Redis = redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
    )
    return client


def _answered(call: Call) -> Call:
    """A method of RedisStore with BrokerUnavailable in place of Redis's errors, unless the store goes on trying."""

    @functools.wraps(call)
    def calling(self: RedisStore, *args: object, **options: object) -> object:
        while True:
            try:
                return call(self, *args, **options)
            except redis.RedisError as error:  # away, still loading, read-only, or full
                if not self.goes_on_trying():
                    log.warning("Redis: %s", error)
                    raise BrokerUnavailable(
                        f"Redis, which keeps the jobs, does not answer ({type(error).__name__}); try again"
                    ) from None

    return cast("Call", calling)


class RedisStore:
    """
    Jobs in Redis. Threads may share it; nothing is asked before the first call.

    A job is a hash, one JSON value a field. Sorted sets have its order, by state and by owner, and what is to be
    done about it. All of it is written in one transaction (MULTI), which fails when the hash was changed since
    it was read (WATCH), and is then done again. *goes_on_trying* is asked when Redis does not answer: it may
    wait, and says whether to ask again; by default the caller gets BrokerUnavailable.
    """

    def __init__(self, client: redis.Redis, goes_on_trying: Callable[[], bool] = lambda: False) -> None:
        self._redis, self.goes_on_trying = client, goes_on_trying

    @_answered
    def check(self) -> None:
        """BrokerUnavailable when Redis does not answer."""
        self._redis.ping()

    @_answered
    def add(self, job: Job, limit_bytes: int) -> Job:
        """
        Keep a new job; the one that is there already when its owner used its idempotency key before.

        InsufficientStorage when all jobs would then take more than *limit_bytes*.
        """
        used = _used(job.owner, job.idempotency_key)
        for _ in range(TRIES):
            with self._redis.pipeline() as pipe:
                pipe.watch(used, _key("bytes"))
                same = self._load(pipe, str(pipe.get(used))) if job.idempotency_key else None
                if same is None:
                    same = self._load(pipe, job.id)  # added, but Redis went away before it could say so
                if same is not None:
                    return same
                if int(pipe.get(_key("bytes")) or 0) + job.stored_bytes > limit_bytes:
                    raise InsufficientStorage(
                        f"jobs may take {limit_bytes >> 20} MB (JOB_DISK_MB) and there is no room for this one; "
                        "remove finished ones or try again when some have expired"
                    )
                pipe.multi()
                if job.idempotency_key:
                    pipe.set(used, job.id)
                _write(pipe, job, None)
                pipe.zadd(_key("hints"), {job.id: job.created_at + PUBLISHED_BY_SECONDS})
                if _executed(pipe):
                    return job
        raise _busy()

    @_answered
    def find(self, owner: str, idempotency_key: str) -> Job | None:
        """The job *owner* made with that key."""
        id = cast("str | None", self._redis.get(_used(owner, idempotency_key)))
        return self.get(id) if id and idempotency_key else None

    @_answered
    def get(self, id: str) -> Job | None:
        """The job, if it is there; one that is done in parts is as far as they are together."""
        job = self._load(self._redis, id)
        if job is not None and job.state == RUNNING and (parts := self.parts(job)):
            # Times are those of the whole recording, in parts as well.
            job.seconds_done = sum(max(0.0, part.seconds_done - part.asked["clip"][0]) for part in parts)
            job.text = " ".join(part.text for part in parts if part.text)
        return job

    @_answered
    def parts(self, job: Job) -> list[Job]:
        """The parts *job* is done in, in their order; empty when it is not, or when they are gone."""
        with self._redis.pipeline(transaction=False) as pipe:
            for id in part_ids(job):
                pipe.hgetall(_hash(id))
            return [part for found in pipe.execute() if (part := _read(found)) is not None]

    @_answered
    def untold_part(self, id: str) -> str | None:
        """The first part of the job *id* that no message was sent for yet."""
        job = self._load(self._redis, id)
        ids = part_ids(job) if job is not None else []
        with self._redis.pipeline(transaction=False) as pipe:
            for part_id in ids:
                pipe.zscore(_key("hints"), part_id)
            hinted = pipe.execute()
        return next((part_id for part_id, due in zip(ids, hinted, strict=True) if due is not None), None)

    @_answered
    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        """
        Jobs of *owner* without their texts, newest first: those in *state* and older than the job *before*,
        where these are not empty.
        """
        names = [name for name in FIELDS if name != "text"]
        index = _index(owner, state)
        newest = "+inf"
        if before:
            # Not by its rank: it may have left this state since the page before.
            created = cast("str | None", self._redis.hget(_hash(before), "created_at"))
            if created is None:
                return []
            newest = f"({created}"
        ids = cast(
            "list[str]",
            self._redis.zrevrangebyscore(index, newest, "-inf", start=0, num=min(limit, PAGE_READ)),
        )
        with self._redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.hmget(_hash(id), names)
            found = [dict(zip(names, values, strict=True)) for values in pipe.execute()]
        return [job for values in found if (job := _read(values)) is not None]

    @_answered
    def ahead(self, job: Job) -> int:
        """How many jobs that are queued or running come before it."""
        with self._redis.pipeline() as pipe:
            pipe.zcount(_state(QUEUED), "-inf", f"({job.created_at!r}")
            pipe.zcard(_state(RUNNING))
            queued, running = pipe.execute()
        return int(queued) + int(running)

    @_answered
    def pace(self, kind: str) -> Pace | None:
        """How long the last jobs of *kind* that succeeded took; None before the first."""
        lines = cast("list[str]", self._redis.lrange(_key("pace", kind), 0, -1))
        if not lines:
            return None
        took = [json.loads(line) for line in lines]
        seconds, size = sum(one[0] for one in took), sum(one[1] for one in took)
        return Pace(seconds / len(took), seconds / max(1, size))

    @_answered
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

        return self._change(id, edit, lambda pipe, job: _lease(pipe, job))

    @_answered
    def hold(self, job: Job) -> bool:
        """Keep the lease on *job*; False when the attempt is no longer the current one."""
        state, attempt = cast("list[str | None]", self._redis.hmget(_hash(job.id), ["state", "attempt"]))
        if state != json.dumps(RUNNING) or attempt != json.dumps(job.attempt):
            return False
        _lease(self._redis, job)
        return True

    @_answered
    def progress(self, job: Job) -> bool:
        """
        Note *job*'s seconds_done and text; False when its worker should stop: it was cancelled, removed, or
        given to somebody else.
        """

        def edit(now: Job) -> bool:
            if not _same_attempt(now, job):
                return False
            now.seconds_done, now.text = job.seconds_done, job.text
            return True

        return self._change(job.id, edit) is not None

    @_answered
    def finish(self, job: Job, state: str, now: float, error: dict[str, Any] | None = None) -> bool:
        """
        The end of *job*'s attempt, with its seconds_done, text, result and result_bytes; False, and nothing
        changes, when the attempt is no longer the current one.
        """

        def edit(stored: Job) -> bool:
            if not _same_attempt(stored, job):
                return False
            for name in ("seconds_done", "text", "result", "result_bytes", "failures"):
                setattr(stored, name, getattr(job, name))
            _end(stored, state, now, error)
            return True

        def note_pace(pipe: Pipeline, ended: Job) -> None:
            if state == SUCCEEDED and not is_part(ended):
                line = json.dumps([now - (ended.started_at or now), ended.size_bytes])
                pipe.lpush(_key("pace", ended.kind), line)
                pipe.ltrim(_key("pace", ended.kind), 0, PACE_JOBS - 1)

        return self._change(job.id, edit, note_pace) is not None

    @_answered
    def put_back(self, job: Job, due_at: float) -> bool:
        """Running becomes queued again, with *job*'s failures; False when its attempt is no longer the current one."""

        def edit(stored: Job) -> bool:
            if not _same_attempt(stored, job):
                return False
            stored.state, stored.due_at, stored.failures = QUEUED, due_at, job.failures
            stored.extra.pop("parts", None)
            return True

        return self._change(job.id, edit, lambda pipe, job: _hint(pipe, job, due_at)) is not None

    @_answered
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

        return self._change(id, edit, lambda pipe, job: _hint(pipe, job, time.time())) is not None

    @_answered
    def cancel(self, id: str, now: float) -> bool:
        """Queued or running becomes cancelled; False when it had ended."""

        def edit(job: Job) -> bool:
            if job.state in FINISHED:
                return False
            _end(job, CANCELLED, now, None)
            return True

        return self._change(id, edit) is not None

    @_answered
    def split(self, job: Job, asked: list[dict[str, Any]]) -> list[Job]:
        """
        Have *job* done in parts, one for each of *asked*, queued now; none when its attempt is no longer the
        current one. The job itself is running until they are joined, and nobody holds it.
        """
        made: list[Job] = []

        def edit(stored: Job) -> bool:
            if not _same_attempt(stored, job):
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
                _write(pipe, part, None)
                _hint(pipe, part, time.time() + number * PART_SECONDS)

        return made if self._change(job.id, edit, keep) else []

    @_answered
    def lapsed(self) -> list[Job]:
        """Running jobs nobody holds; one that is done in parts is among them until they are joined."""
        ids = cast("list[str]", self._redis.zrange(_state(RUNNING), 0, -1))
        with self._redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.exists(_key("lease", id))
            held = pipe.execute()
        lost = [self._load(self._redis, id) for id, is_held in zip(ids, held, strict=True) if not is_held]
        return [job for job in lost if job is not None and job.state == RUNNING]

    @_answered
    def hints_due(self, now: float) -> list[str]:
        """Queued jobs a message must be sent for by *now*."""
        return cast(
            "list[str]", self._redis.zrangebyscore(_key("hints"), "-inf", now, start=0, num=PAGE_READ)
        )

    @_answered
    def published(self, id: str) -> None:
        """A message was sent for this job."""
        self._redis.zrem(_key("hints"), id)

    @_answered
    def oldest_queued(self, now: float, number: int) -> list[str]:
        """The *number* oldest queued jobs that are due."""
        ids = cast("list[str]", self._redis.zrange(_state(QUEUED), 0, PAGE_READ - 1))
        jobs = [self._load(self._redis, id) for id in ids[: 4 * number]]
        return [job.id for job in jobs if job is not None and job.state == QUEUED and job.due_at <= now][
            :number
        ]

    @_answered
    def remove(self, id: str) -> None:
        """Forget it."""
        for _ in range(TRIES):
            with self._redis.pipeline() as pipe:
                pipe.watch(_hash(id))
                job = self._load(pipe, id)
                if job is None:
                    return
                pipe.multi()
                _forget(pipe, job)
                if _executed(pipe):
                    return
        raise _busy()

    @_answered
    def finished_before(self, when: float) -> list[str]:
        """The ids of jobs that ended before *when*, at most 100."""
        with self._redis.pipeline(transaction=False) as pipe:
            for state in FINISHED:
                pipe.zrangebyscore(_state(state), "-inf", f"({when!r}", start=0, num=PAGE_READ)
            return [id for ids in pipe.execute() for id in ids][:PAGE_READ]

    @_answered
    def webhooks_due(self, now: float) -> list[Job]:
        """Finished jobs whose webhook is pending and due by *now*, the soonest first, at most 100."""
        ids = cast(
            "list[str]", self._redis.zrangebyscore(_key("webhooks"), "-inf", now, start=0, num=PAGE_READ)
        )
        return [job for id in ids if (job := self._load(self._redis, id)) is not None]

    @_answered
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

    @_answered
    def webhook_ended(self, job: Job, state: str) -> None:
        """The webhook is "delivered", or has "failed" for good."""

        def edit(stored: Job) -> bool:
            stored.webhook_state, stored.webhook_due_at = state, None
            return True

        self._change(job.id, edit)

    @_answered
    def counts(self, now: float) -> Counts:
        """How much there is to do."""
        with self._redis.pipeline(transaction=False) as pipe:
            for state in STATES:
                pipe.zcard(_state(state))
            pipe.zrange(_state(QUEUED), 0, 0, withscores=True)
            pipe.get(_key("bytes"))
            *by_state, oldest, stored = pipe.execute()
        numbers = dict(zip(STATES, by_state, strict=True))
        waiting = max(0.0, now - oldest[0][1]) if oldest else 0.0
        return Counts(numbers[QUEUED], numbers[RUNNING], waiting, int(stored or 0), numbers)

    def close(self) -> None:
        """Let the connections go."""
        self._redis.close()

    def _change(
        self, id: str, edit: Edit, then: Callable[[Pipeline, Job], None] = lambda pipe, job: None
    ) -> Job | None:
        """
        The job after *edit* changed it and *then* added to the transaction; None when there is none, or *edit*
        said no. *edit* may be called again when another change came first.
        """
        for _ in range(TRIES):
            with self._redis.pipeline() as pipe:
                pipe.watch(_hash(id))
                stored = cast("dict[str, str | None]", pipe.hgetall(_hash(id)))
                before, job = _read(stored), _read(stored)
                if before is None or job is None or not edit(job):
                    return None
                pipe.multi()
                _write(pipe, job, before)
                then(pipe, job)
                if _executed(pipe):
                    return job
        raise _busy()

    @staticmethod
    def _load(client: redis.Redis, id: str) -> Job | None:
        return _read(cast("dict[str, str | None]", client.hgetall(_hash(id))))


def _write(pipe: Pipeline, job: Job, before: Job | None) -> None:
    """Store what is different from *before*, and have the job in the sets it now belongs to."""
    names = (
        FIELDS if before is None else [name for name in FIELDS if getattr(job, name) != getattr(before, name)]
    )
    if names:
        pipe.hset(_hash(job.id), mapping={name: json.dumps(getattr(job, name)) for name in names})
    if before is None or before.state != job.state:
        if before is not None:
            _leave(pipe, before)
        if not (is_part(job) and job.state in FINISHED):
            pipe.zadd(_state(job.state), {job.id: _moment(job)})
        if not is_part(job):
            pipe.zadd(_index(job.owner), {job.id: job.created_at})
            pipe.zadd(_index(job.owner, job.state), {job.id: job.created_at})
    if job.webhook_state == "pending":
        pipe.zadd(_key("webhooks"), {job.id: job.webhook_due_at or 0.0})
    else:
        pipe.zrem(_key("webhooks"), job.id)
    _count(pipe, job, (0 if before is None else before.stored_bytes), job.stored_bytes)


def _leave(pipe: Pipeline, job: Job) -> None:
    """Take it out of what its state put it into; the parts of a job that is no longer running go with that."""
    pipe.zrem(_state(job.state), job.id)
    pipe.zrem(_index(job.owner, job.state), job.id)
    pipe.zrem(_key("hints"), job.id)
    pipe.delete(_key("lease", job.id))
    for id in part_ids(job):
        pipe.delete(_hash(id), _key("lease", id))
        for key in (_state(QUEUED), _state(RUNNING), _key("hints")):
            pipe.zrem(key, id)


def _forget(pipe: Pipeline, job: Job) -> None:
    _leave(pipe, job)
    pipe.zrem(_index(job.owner), job.id)
    pipe.zrem(_key("webhooks"), job.id)
    pipe.delete(_hash(job.id))
    if job.idempotency_key:
        pipe.delete(_used(job.owner, job.idempotency_key))
    _count(pipe, job, job.stored_bytes, 0)


def _count(pipe: Pipeline, job: Job, before: int, now: int) -> None:
    """Parts' files are gone as soon as they are joined: only whole jobs count."""
    if now != before and not is_part(job):
        pipe.incrby(_key("bytes"), now - before)


def _lease(client: redis.Redis, job: Job) -> None:
    """Redis's own clock ends it: those of the machines may differ."""
    client.set(_key("lease", job.id), job.attempt, px=round(LEASE_SECONDS * 1000))


def _hint(pipe: Pipeline, job: Job, due_at: float) -> None:
    pipe.zadd(_key("hints"), {job.id: due_at})


def _end(job: Job, state: str, now: float, error: dict[str, Any] | None) -> None:
    job.state, job.finished_at, job.error = state, now, error
    if job.webhook_url:
        job.webhook_state, job.webhook_due_at = "pending", now


def _same_attempt(stored: Job, job: Job) -> bool:
    return stored.state == RUNNING and stored.attempt == job.attempt


def _moment(job: Job) -> float:
    """What its state is ordered by: when it was made, begun or ended."""
    moments = {QUEUED: job.created_at, RUNNING: job.started_at}
    return moments.get(job.state, job.finished_at) or 0.0


def _read(stored: dict[str, str | None]) -> Job | None:
    """The job of a hash; fields it has not, because a newer version knows them, are as in a new job."""
    values = {
        name: json.loads(value) for name, value in stored.items() if name in FIELDS and value is not None
    }
    return Job(**values) if "id" in values else None


def _executed(pipe: Pipeline) -> bool:
    try:
        pipe.execute()
    except redis.WatchError:
        return False
    return True


def _busy() -> BrokerUnavailable:
    return BrokerUnavailable(f"a job was changed by others {TRIES} times in a row; try again")


def _key(*names: str) -> str:
    return PREFIX + ":".join(names)


def _hash(id: str) -> str:
    return _key("job", id)


def _state(state: str) -> str:
    return _key("state", state)


def _index(owner: str, state: str = "") -> str:
    return _key("jobs", owner, state)


def _used(owner: str, idempotency_key: str) -> str:
    return _key("used", owner, idempotency_key)
