"""Changes in Redis that happen completely or not at all, and the error when Redis does not answer."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from ...errors import BrokerUnavailable
from ..job import Job
from .records import job_key, key, read, write

log = logging.getLogger(__name__)

# A broker that is away is found out within twice the first, an answer that hangs within the second.
CONNECT_SECONDS, ANSWER_SECONDS = 0.7, 1.5
TRIES = 200  # of a change, each lost to another one of the same job

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


def wrap_redis_errors(call: Call) -> Call:
    """A method of Transactions that raises BrokerUnavailable for Redis's errors, unless it is to keep retrying."""

    @functools.wraps(call)
    def calling(self: Transactions, *args: object, **options: object) -> object:
        while True:
            try:
                return call(self, *args, **options)
            except redis.RedisError as error:  # away, still loading, read-only, or full
                if not self.keep_retrying():
                    log.warning("Redis: %s", error)
                    away = type(error) in (
                        redis.ConnectionError,
                        redis.TimeoutError,
                    )  # not what is below them
                    does = "does not answer" if away else "refuses it"
                    raise BrokerUnavailable(
                        f"Redis, which keeps the jobs, {does} ({type(error).__name__}); try again"
                    ) from None

    return cast("Call", calling)


class Transactions:
    """
    Jobs in Redis, changed one at a time. Threads may share it; nothing is asked before the first call.

    A job is a hash, one JSON value a field. All that a change is about is written in one transaction (MULTI), which
    fails when the hash was changed since it was read (WATCH), and is then repeated. *keep_retrying* is called when
    Redis does not answer: it may wait, and returns whether to call Redis again; by default the caller gets
    BrokerUnavailable.
    """

    def __init__(self, client: redis.Redis, keep_retrying: Callable[[], bool] = lambda: False) -> None:
        self._redis, self.keep_retrying = client, keep_retrying

    @wrap_redis_errors
    def check(self) -> None:
        """BrokerUnavailable when Redis does not answer, or takes nothing: it is full, or a replica."""
        self._redis.set(key("written"), 1, px=10_000)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    @wrap_redis_errors
    def change(
        self,
        id: str,
        edit: Edit,
        segments: Sequence[bytes] = (),
        then: Callable[[Pipeline, Job], None] = lambda pipe, job: None,
    ) -> Job | None:
        """
        The job after *edit* changed it and *then* added to the transaction; None when there is no such job, or
        *edit* returned False. *edit* is called again when another change came first.
        """
        for _ in range(TRIES):
            with self._redis.pipeline() as pipe:
                pipe.watch(job_key(id))
                stored = cast("dict[str, str | None]", pipe.hgetall(job_key(id)))
                before, job = read(stored), read(stored)
                if before is None or job is None or not edit(job):
                    return None
                pipe.multi()
                write(pipe, job, before)
                if segments:
                    pipe.rpush(key("segments", id), *segments)
                then(pipe, job)
                if executed(pipe):
                    return job
        raise busy()

    @staticmethod
    def _load(client: redis.Redis, id: str) -> Job | None:
        return read(cast("dict[str, str | None]", client.hgetall(job_key(id))))


def executed(pipe: Pipeline) -> bool:
    """Whether the transaction was done; False when another change came first."""
    try:
        pipe.execute()
    except redis.WatchError:
        return False
    return True


def busy() -> BrokerUnavailable:
    """The error after TRIES transactions that were all overtaken by other changes."""
    return BrokerUnavailable(f"a job was changed by others {TRIES} times in a row; try again")
