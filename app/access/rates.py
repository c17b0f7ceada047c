"""RATE_LIMIT: how many requests a caller may make."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..config import ConfigError
from ..errors import RateLimited
from .counting import Counters

EXAMPLE = "60/minute, or several such as 10/second;300/hour"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands in the window that has the least left."""

    limit: int
    remaining: int


class Rates:
    """Counts requests against the windows of RATE_LIMIT; any thread."""

    def __init__(self, text: str, counters: Counters, *, clock: Callable[[], float] = time.time) -> None:
        # Imported here: 3 MB that nobody carries who sets no RATE_LIMIT.
        import limits

        try:
            self._windows = limits.parse_many(text)
        except ValueError:
            raise ConfigError(f"RATE_LIMIT: {text!r} can't be read; write {EXAMPLE}") from None
        if not all(window.amount for window in self._windows):
            raise ConfigError(f"RATE_LIMIT: {text!r} lets nobody in; write {EXAMPLE}")
        self._counters, self._clock = counters, clock

    def count(self, caller: str) -> Standing:
        """Count one request of *caller*; RateLimited when a window is full."""
        standings = []
        for window in self._windows:
            key = window.key_for(caller)
            count = self._counters.incr(key, window.get_expiry())
            if count > window.amount:
                wait = max(1, math.ceil(self._counters.get_expiry(key) - self._clock()))
                raise RateLimited(
                    f"more than {window} requests; there may be more in {wait} s", retry_after_seconds=wait
                )
            standings.append(Standing(window.amount, window.amount - count))
        return min(standings, key=lambda standing: standing.remaining)
