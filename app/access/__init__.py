"""Who is let in, and how much each may have of the service. Nothing here imports Flask."""

from __future__ import annotations

import logging

from ..checks import Check
from ..config import Settings
from .counters import LocalCounters, RedisCounters
from .keys import SHORT, Keys
from .limits import Allowance, RateLimiter
from .tickets import Tickets

log = logging.getLogger(__name__)

OPEN = "everybody is let in (ENVIRONMENT=production and no API_KEYS); set API_KEYS"


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
