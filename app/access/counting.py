"""Counts that begin anew: in this worker's memory, or in Redis for all workers and machines."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ..config import ConfigError

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST = 4096  # counts a worker keeps: 1.2 MB
ANSWER_SECONDS = 0.25  # until Redis is taken to be away
AWAY_SECONDS = 5.0  # until it is asked again


class Counters(Protocol):
    """Counts by name. A count begins with its first increase, and is forgotten *expiry* seconds later."""

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The count after it was increased."""

    def get(self, key: str) -> int:
        """The count; 0 when there is none."""

    def get_expiry(self, key: str) -> float:
        """When the count is forgotten, in seconds since 1970."""


class Local:
    """
    Counts of one worker; its threads share them. At most *most*: past that, the one not increased for the
    longest is forgotten, so whoever comes from a million addresses wins no more than he has by them anyway.
    """

    def __init__(self, *, most: int = MOST, clock: Callable[[], float] = time.time) -> None:
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}  # least recently increased first

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The count after it was increased."""
        now = self._clock()
        with self._lock:
            count, until = self._counts.pop(key, (0, 0.0))
            if until <= now:
                count, until = 0, now + expiry
            self._counts[key] = (count + amount, until)
            if len(self._counts) > self._most:
                del self._counts[next(iter(self._counts))]
        return count + amount

    def get(self, key: str) -> int:
        """The count; 0 when there is none."""
        count, until = self._counts.get(key, (0, 0.0))
        return count if until > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        """When the count is forgotten."""
        return max(self._counts.get(key, (0, 0.0))[1], self._clock())


class Shared:
    """
    Counts in the Redis at *url*, by `limits`; in this worker's memory while Redis does not answer.

    A Redis that is away costs one request ANSWER_SECONDS every AWAY_SECONDS, and one line in the log.
    """

    def __init__(
        self,
        url: str,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Imported here: 9 MB that nobody carries who sets no REDIS_URL.
        from limits.storage.redis import RedisStorage
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError
        from redis.retry import Retry

        # On a connection that Redis closed meanwhile; not after a time-out, when it may have counted already.
        once_more = Retry(NoBackoff(), 1, supported_errors=(ConnectionError,))
        try:
            self._redis = RedisStorage(
                url,
                key_prefix="pam-voice",
                socket_timeout=answer_seconds,
                socket_connect_timeout=answer_seconds,
                retry=once_more,  # type: ignore[arg-type] # limits passes it on
            )
        except ValueError:  # its message has the password
            raise ConfigError("REDIS_URL: the value is no redis://, rediss:// or unix:// address") from None
        self._local, self._clock = Local(), clock
        self._away, self._ask_again_at = False, 0.0

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The count after it was increased."""
        return self._asked(
            lambda: self._redis.incr(key, expiry, amount), lambda: self._local.incr(key, expiry, amount)
        )

    def get(self, key: str) -> int:
        """The count; 0 when there is none."""
        return self._asked(lambda: self._redis.get(key), lambda: self._local.get(key))

    def get_expiry(self, key: str) -> float:
        """When the count is forgotten."""
        return self._asked(lambda: self._redis.get_expiry(key), lambda: self._local.get_expiry(key))

    def _asked(self, redis: Callable[[], T], local: Callable[[], T]) -> T:
        if self._clock() < self._ask_again_at:
            return local()
        try:
            answer = redis()
        except self._redis.base_exceptions as problem:
            self._ask_again_at = self._clock() + AWAY_SECONDS
            if not self._away:
                log.warning(
                    "Redis does not answer (%s): each worker counts by itself", type(problem).__name__
                )
            self._away = True
            return local()
        if self._away:
            log.info("Redis answers again")
            self._away = False
        return answer
