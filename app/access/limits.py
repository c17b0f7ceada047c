"""
How much a caller may have: RATE_LIMIT, requests, and AUDIO_SECONDS_PER_HOUR, audio; and who a caller is.

Both are counts that begin anew after a time: in this worker's memory, or in Redis for all workers and machines.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..config import ConfigError
from ..errors import AudioLimited, RateLimited

if TYPE_CHECKING:
    from ..speech.audio import SynthesisResult
    from ..speech.transcription import Transcription

log = logging.getLogger(__name__)

EXAMPLE = "60/minute, or several such as 10/second;300/hour"
# So many digits that Redis can count the seconds.
WINDOW = r"(?i)\s*(\d{1,9})\s*(?:/|\s+per\s+)\s*(\d{0,7})\s*(second|minute|hour|day|month|year)s?\s*"
UNIT_SECONDS = {
    "second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 30 * 86_400, "year": 360 * 86_400,
}  # fmt: skip
HOUR = 3600
NETWORK_6 = 64  # bits; one subscriber has at least that many addresses of version 6
CHARACTERS_PER_SECOND = 15  # what the voices here speak at speed 1, roughly
UNITS = 1000  # of a second: Redis counts whole numbers
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


class Window(NamedTuple):
    """So many requests within so many seconds, which begin with the first; *text* is how people say it."""

    limit: int
    seconds: int
    text: str


class RateLimitStatus(NamedTuple):
    """The limit of the window in which a caller has the least left, and how many requests that is."""

    limit: int
    remaining: int


class RateLimiter:
    """Counts requests against the windows of RATE_LIMIT; any thread. ConfigError: *text* can't be read."""

    def __init__(self, text: str, counters: LocalCounters) -> None:
        self._windows = [_window(part, text) for part in re.split("[,;|]", text)]
        self._counters = counters

    def count(self, caller: str) -> RateLimitStatus:
        """Count one request of *caller*; RateLimited when a window is full."""
        status = []
        for window in self._windows:
            count = self._counters.add(f"requests/{caller}/{window.limit}/{window.seconds}", window.seconds)
            if count.value > window.limit:
                wait = max(1, math.ceil(count.seconds_left))
                raise RateLimited(f"limit: {window.text}; retry in {wait} s", retry_after_seconds=wait)
            status.append(RateLimitStatus(window.limit, window.limit - count.value))
        return min(status, key=lambda each: each.remaining)


def _window(part: str, text: str) -> Window:
    match = re.fullmatch(WINDOW, part)  # compiled only where the setting is set
    if match is None:
        raise ConfigError(f"RATE_LIMIT: {text!r} can't be read; write {EXAMPLE}")
    limit, number, unit = int(match[1]), int(match[2] or 1), match[3].lower()
    if not limit or not number:
        raise ConfigError(f"RATE_LIMIT: {text!r} lets nobody in; write {EXAMPLE}")
    requests = f"{limit} request{'' if limit == 1 else 's'}"
    per = f"in {number} {unit}s" if number > 1 else f"an {unit}" if unit == "hour" else f"a {unit}"
    return Window(limit, number * UNIT_SECONDS[unit], f"{requests} {per}")


class Allowance:
    """
    Seconds of audio a caller may have in an hour, which begins with the first; any thread. 0 is any number.

    Charged as the work goes on: a recording that uses the allowance up is ended there, so the overrun is one
    window of 30 s for each request a caller has running.
    """

    def __init__(self, seconds_per_hour: int, counters: LocalCounters) -> None:
        self.seconds_per_hour = seconds_per_hour
        self._counters = counters

    def check(self, caller: str) -> None:
        """AudioLimited when *caller* has used it up."""
        if not self.seconds_per_hour:
            return
        count = self._counters.add(f"audio/{caller}", HOUR, 0)
        if count.value >= self.seconds_per_hour * UNITS:
            wait = max(1, math.ceil(count.seconds_left))
            raise AudioLimited(
                f"limit: {self.seconds_per_hour} seconds of audio an hour; retry in {wait} s",
                retry_after_seconds=wait,
            )

    def charge(self, caller: str, seconds: float) -> None:
        """*caller* has had *seconds* more."""
        if self.seconds_per_hour and seconds > 0:
            self._counters.add(f"audio/{caller}", HOUR, math.ceil(seconds * UNITS))

    def transcription(self, caller: str, transcription: Transcription) -> Transcription:
        """*transcription*, charged while it is made; it raises AudioLimited when *caller* has used the allowance up."""
        charged = transcription.begins_at

        def charge(seconds_done: float, ended: bool) -> None:
            nonlocal charged
            self.charge(caller, seconds_done - charged)
            charged = max(charged, seconds_done)
            if not ended:
                self.check(caller)

        if self.seconds_per_hour:
            transcription.on_progress = charge
        return transcription

    def spoken(self, caller: str, spoken: SynthesisResult, text: str) -> SynthesisResult:
        """*spoken*, charged when it is closed; a *caller* that leaves before its end pays for an estimate."""
        if not self.seconds_per_hour or spoken.cached:
            return spoken
        closed, end = False, spoken.close

        def close() -> None:
            nonlocal closed
            end()
            if not closed:
                made, estimate = spoken.duration_seconds, len(text) / CHARACTERS_PER_SECOND
                self.charge(caller, estimate if made is None else made)
            closed = True

        spoken.close = close
        return spoken


def caller(key_id: str, address: str | None) -> str:
    """Whom a request counts for: `key:3f2a…`, `ip:203.0.113.5`, or of version 6 `ip:2001:db8:0:1::/64`."""
    return f"key:{key_id}" if key_id else f"ip:{network(address or '')}"


def network(address: str) -> str:
    """Who has *address*; "unknown" for what is none, as a request through a Unix socket has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, NETWORK_6), strict=False))
