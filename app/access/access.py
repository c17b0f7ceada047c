"""Access: the keys, the rates and the allowance, from the settings."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ..checks import Check
from ..config import Settings
from .allowance import Allowance
from .counting import Counters, Local, Shared
from .keys import SHORT, Keys
from .rates import Rates

log = logging.getLogger(__name__)

OPEN = "everybody is let in (ENVIRONMENT=production and no API_KEYS); set API_KEYS"


@dataclass(frozen=True)
class Access:
    """Who is let in, and how much each may have. One per worker, owned by Services, shared by its threads."""

    keys: Keys
    rates: Rates | None
    allowance: Allowance
    checks: tuple[Check, ...] = ()  # what is wrong with it, for /health

    @classmethod
    def build(cls, settings: Settings) -> Access:
        """From the settings; ConfigError: one of them can't be read."""
        keys = Keys(settings.api_keys)
        counted = settings.rate_limit or settings.audio_seconds_per_hour
        shared = Shared(settings.redis_url) if settings.redis_url and counted else None

        def counters() -> (
            Counters
        ):  # one table each: who is refused often must not drive out what was charged
            return shared or Local()

        rates = Rates(settings.rate_limit, counters()) if settings.rate_limit else None
        unguarded = settings.environment == "production" and not keys
        return cls(
            keys,
            rates,
            Allowance(settings.audio_seconds_per_hour, counters()),
            (Check("access", OPEN),) if unguarded else (),
        )

    def announce(self) -> None:
        """Log what an operator should change, once."""
        for check in self.checks:
            log.warning("%s", check.reason)
        if self.keys.short:
            log.warning(
                "API_KEYS: %d can be guessed, having fewer than %d characters", self.keys.short, SHORT
            )

    @property
    def guards(self) -> bool:
        """Whether anything is asked of a request."""
        return bool(self.keys or self.rates or self.allowance.seconds_per_hour)
