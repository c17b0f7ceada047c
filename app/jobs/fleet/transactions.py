"""The connection to Redis, and the error when it does not answer."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ...errors import BrokerUnavailable

log = logging.getLogger(__name__)

# A broker that is away is found out within twice the first, an answer that hangs within the second.
CONNECT_SECONDS, ANSWER_SECONDS = 0.7, 1.5

Kept = TypeVar("Kept", bound=type)


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


def wrap_redis_errors(kept: Kept) -> Kept:
    """
    A class whose public methods raise BrokerUnavailable for Redis's errors: it is away, still loading, read-only, full.

    Its `keep_retrying` is called first: it may wait, and returns whether the method is to be called again.
    """

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def calling(self: Any, *args: object, **options: object) -> object:
            while True:
                try:
                    return call(self, *args, **options)
                except redis.RedisError as error:
                    if not self.keep_retrying():
                        log.warning("Redis: %s", error)
                        kind = type(error)  # not what is below these two: read-only, full
                        away = kind in (redis.ConnectionError, redis.TimeoutError)
                        does = "does not answer" if away else "refuses it"
                        message = f"Redis, which keeps the jobs, {does} ({kind.__name__}); try again"
                        raise BrokerUnavailable(message) from None

        return calling

    for name, method in vars(kept).copy().items():
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(kept, name, wrapped(method))
    return kept
