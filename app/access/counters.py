"""Counts that begin anew after a time: in this worker's memory, or in Redis for all workers and machines."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from ..config import ConfigError

log = logging.getLogger(__name__)

MOST = 4096  # counts a worker keeps: 1.2 MB
PREFIX = "pam-voice:"  # of the keys in Redis
ANSWER_SECONDS = 0.25  # until Redis is taken to be away
AWAY_SECONDS = 5.0  # until it is asked again


class Count(NamedTuple):
    """A count, and in how many seconds it is forgotten; both are 0 where there is none."""

    value: int
    seconds_left: float


class LocalCounters:
    """
    Counts by name, of one worker; its threads share them. A count begins with its first increase, and is forgotten
    *expiry* seconds later. At most *most*: past that, the one that was not increased for the longest is forgotten.
    A client with a million addresses gains nothing by that: each address has a count anyway.
    """

    def __init__(self, *, most: int = MOST, clock: Callable[[], float] = time.time) -> None:
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}  # least recently increased first

    def add(self, name: str, expiry: int, amount: int = 1) -> Count:
        """The count after it was increased; with an *amount* of 0, as it is."""
        now = self._clock()
        with self._lock:
            value, until = self._counts.get(name, (0, 0.0))
            if until <= now:
                value, until = 0, now + expiry
            if amount:
                self._counts.pop(name, None)
                self._counts[name] = (value + amount, until)
                if len(self._counts) > self._most:
                    del self._counts[next(iter(self._counts))]
        return Count(value + amount, until - now)


class RedisCounters(LocalCounters):
    """
    Counts in the Redis at *url*; in this worker's memory while Redis does not answer.

    A Redis that is away costs one request ANSWER_SECONDS every AWAY_SECONDS, and one line in the log.
    """

    def __init__(
        self, url: str, *, answer_seconds: float = ANSWER_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock=clock)
        # Imported here: 8 MB that nobody carries who sets no REDIS_URL.
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError, RedisError
        from redis.retry import Retry

        # On a connection that Redis closed meanwhile; not after a time-out, when it may have counted already.
        once_more = Retry(NoBackoff(), 1, supported_errors=(ConnectionError,))
        try:
            self._redis = Redis.from_url(
                url, socket_timeout=answer_seconds, socket_connect_timeout=answer_seconds, retry=once_more
            )
        except ValueError:  # its message has the password
            raise ConfigError("REDIS_URL: the value is no redis://, rediss:// or unix:// address") from None
        self._error = RedisError
        self._ask_again_at = 0.0
        self.away = ""  # what went wrong when Redis was asked last, empty when nothing did

    def add(self, name: str, expiry: int, amount: int = 1) -> Count:
        """The count after it was increased."""
        if self._clock() < self._ask_again_at:
            return super().add(name, expiry, amount)
        try:
            count = self._add(PREFIX + name, expiry, amount)
        except self._error as problem:
            self._ask_again_at = self._clock() + AWAY_SECONDS
            before, self.away = self.away, type(problem).__name__
            if not before:
                log.warning("Redis does not answer (%s): each worker counts by itself", self.away)
            return super().add(name, expiry, amount)
        if self.away:
            log.info("Redis answers again")
            self.away = ""
        return count

    def check(self) -> str:
        """Why not all workers count together, empty when they do; asks a Redis that did not answer again."""
        self.add("check", 1, 0)
        if not self.away:
            return ""
        return (
            f"Redis (REDIS_URL) does not answer ({self.away}): each worker counts RATE_LIMIT and "
            "AUDIO_SECONDS_PER_HOUR by itself"
        )

    def _add(self, name: str, expiry: int, amount: int) -> Count:
        with self._redis.pipeline() as steps:  # MULTI: a count never stays without its end
            if amount:
                steps.set(name, 0, ex=expiry, nx=True)
                steps.incrby(name, amount)
            else:
                steps.get(name)
            steps.pttl(name)
            *_, value, milliseconds = steps.execute()
        return Count(int(value or 0), max(0, milliseconds) / 1000)
