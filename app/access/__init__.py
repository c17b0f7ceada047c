"""Who is let in, and how much each may have of the service. Nothing here imports Flask."""

from __future__ import annotations

import logging
import threading

from ..checks import Check
from ..config import Settings
from ..errors import QueueFull
from .keys import SHORT, Keys, Tickets
from .limits import Allowance, LocalCounters, RateLimiter, RedisCounters

log = logging.getLogger(__name__)

OPEN = "everybody is let in (ENVIRONMENT=production and no API_KEYS); set API_KEYS"
FULL_SECONDS = 5  # until a client that was refused tries again
BUSY_LOAD = 0.9  # seconds waited for the engine for each of audio; from 1 on a session falls behind
LOAD_SECONDS = 10.0  # of audio that such a figure is of


class Access:
    """
    Who is let in, and how much each may have. One per worker, owned by Services, shared by its threads.

    ConfigError: one of the settings can't be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.keys, self.tickets = Keys(settings.api_keys), Tickets(settings.api_keys)
        counted = settings.rate_limit or settings.audio_seconds_per_hour
        self.redis = RedisCounters(settings.redis_url) if settings.redis_url and counted else None
        # One table each: whoever is refused often must not drive out what was charged.
        limit = settings.rate_limit
        self.rates = RateLimiter(limit, self.redis or LocalCounters()) if limit else None
        self.allowance = Allowance(settings.audio_seconds_per_hour, self.redis or LocalCounters())
        self._open = settings.environment == "production" and not self.keys

    def checks(self) -> list[Check]:
        """What is wrong with it, for /health and the log."""
        found = [Check("access", OPEN)] if self._open else []
        if self.redis is not None:
            reason = self.redis.check()
            found.append(Check("rate limits", reason, "" if reason else "Redis answers"))
        return found

    def announce(self) -> None:
        """Log what an operator should change, once."""
        if self._open:
            log.warning("%s", OPEN)
        if self.keys.short:
            log.warning(
                "API_KEYS: %d can be guessed, having fewer than %d characters", self.keys.short, SHORT
            )

    @property
    def guards(self) -> bool:
        """Whether anything is asked of a request."""
        return bool(self.keys or self.rates or self.allowance.seconds_per_hour)


class LiveSessions:
    """
    How many live sessions there may be, and whether the machine keeps up with those there are.

    One per worker, owned by Services, shared by its threads; *most* over all workers, *most_here* in this one.

    *counts* has how many sessions each worker has, this one's at *number*; each writes its own.
    """

    def __init__(self, most: int, most_here: int, counts: memoryview[float], number: int) -> None:
        self._most, self._most_here = most, most_here
        self._counts, self._number = counts, number
        self._lock = threading.Lock()
        self._loads: dict[object, float] = {}

    def __len__(self) -> int:
        return len(self._loads)

    def enter(self, session: object) -> None:
        """One more; QueueFull says why not."""
        with self._lock:
            load = max(self._loads.values(), default=0.0)
            if sum(self._counts.tolist()) >= self._most or len(self._loads) >= self._most_here:
                many = f"{self._most} live session{'' if self._most == 1 else 's'} (REALTIME_SESSIONS)"
                raise QueueFull(f"{many} at a time; try again later", retry_after_seconds=FULL_SECONDS)
            if load > BUSY_LOAD:
                said = f"{load:.1f} s of work for a second of audio"
                raise QueueFull(
                    f"the live sessions there are keep this machine busy: {said}",
                    retry_after_seconds=FULL_SECONDS,
                )
            self._loads[session] = 0.0
            self._counts[self._number] = len(self._loads)

    def leave(self, session: object) -> None:
        """It is over; once more does nothing."""
        with self._lock:
            self._loads.pop(session, None)
            self._counts[self._number] = len(self._loads)

    def heard(self, session: object, audio_seconds: float, took_seconds: float) -> None:
        """The engine has had *audio_seconds* more, which its session waited *took_seconds* for."""
        with self._lock:
            if session in self._loads:
                work = self._loads[session] * LOAD_SECONDS + took_seconds
                self._loads[session] = work / (LOAD_SECONDS + audio_seconds)
