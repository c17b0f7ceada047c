"""A circuit breaker: stops asking what keeps failing, and tries it again after a while."""

import threading
import time
from collections.abc import Callable


class Breaker:
    """
    It opens after *failures* in a row, for *retry_after_seconds*; then one caller may try.

    Threads share it. A trial of which nobody notes the outcome changes nothing: the next one may come as late.
    """

    def __init__(
        self,
        *,
        failures: int = 3,
        retry_after_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._retry_after, self._clock = failures, retry_after_seconds, clock
        self._lock = threading.Lock()
        self._failed, self._retry_at = 0, 0.0

    def allows(self) -> bool:
        """Whether to ask now; true at most once every *retry_after_seconds* while it is open."""
        with self._lock:
            if self._failed < self._limit:
                return True
            if self._clock() < self._retry_at:
                return False
            self._retry_at = self._clock() + self._retry_after
            return True

    def succeeded(self) -> None:
        """Note that the service answered: ask it as usual."""
        with self._lock:
            self._failed = 0

    def failed(self) -> None:
        """Note that it did not answer."""
        with self._lock:
            self._failed += 1
            self._retry_at = self._clock() + self._retry_after

    @property
    def retry_in_seconds(self) -> float:
        """Until the next try; 0 while closed."""
        with self._lock:
            return max(0.0, self._retry_at - self._clock()) if self._failed >= self._limit else 0.0

    @property
    def state(self) -> str:
        """For people: "closed" (asks), "open" (does not), "half-open" (the next call is the trial)."""
        with self._lock:
            if self._failed < self._limit:
                return "closed"
            return "open" if self._clock() < self._retry_at else "half-open"
