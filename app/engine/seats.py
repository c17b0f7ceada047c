"""How many sessions an engine has open, and how many more it takes."""

from collections.abc import Callable

from ..errors import QueueFull
from .forecast import Forecast
from .observer import Observer


class Seats:
    """
    Sessions somebody waits for have a seat each; the one in the background, a job's, stands.

    Owned by an engine, and guarded by its condition.
    """

    def __init__(self, engine: str, limit: int, clock: Callable[[], float]) -> None:
        self.limit, self.taken, self.standing = limit, 0, 0
        self.observer = Observer()
        self.last_used = clock()
        self._engine, self._clock = engine, clock
        self._forecast = Forecast(clock)

    @property
    def open_sessions(self) -> int:
        """All of them."""
        return self.taken + self.standing

    def take(self, *, background: bool) -> None:
        """One session more; QueueFull when every seat is taken."""
        if background:
            self.standing += 1
            return
        if self.taken >= self.limit:
            self.observer.refused(self._engine, "queue_full")
            wait = self._forecast.seconds_until_a_seat(self.taken)
            raise QueueFull(
                f"all {self.limit} seats of the {self._engine} engine are taken; try again in {wait} s",
                retry_after_seconds=wait,
            )
        self.taken += 1
        self.observer.seats(self._engine, self.taken)

    def leave(self, worked_seconds: float, *, background: bool) -> None:
        """One less, after so much work; 0 for one that broke off, which says nothing of the next."""
        self.last_used = self._clock()
        if background:
            self.standing -= 1
            return
        self.taken -= 1
        self.observer.seats(self._engine, self.taken)
        if worked_seconds:
            self._forecast.finished(worked_seconds)

    def idle_seconds(self) -> float:
        """Since the end of the last session."""
        return self._clock() - self.last_used
