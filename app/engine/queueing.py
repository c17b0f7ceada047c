"""Who waits for an engine: how many sessions are open, whose turn it is, and when a refused client should return."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import ClientGone, QueueFull
from .events import Observer

LOOK_UP_SECONDS = 0.25  # how often somebody who waits checks that waiting still makes sense
# Turns others take before one in the background has one all the same: under full load, a job gets a ninth of the
# engine, and who waits for an answer waits for one more step in nine.
TURNS_BEFORE_BACKGROUND = 8
# Of work one session is, until one has been measured. Too low a guess has refused clients back before there is
# a seat, and they give up after two: at 1.0, 3 of 20 did on a machine with twice the load it could bear.
FIRST_GUESS_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 60  # the OpenAI clients of the first major version obey no longer Retry-After


class Forecast:
    """Learns how much work a session is. Owned by an Engine, which guards it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._session_seconds = FIRST_GUESS_SECONDS  # moving average
        self._expected: list[float] = []  # when clients that were refused will be back

    def seconds_until_a_seat(self, open_sessions: int) -> int:
        """For one more client: after those refused before it, so that they don't come at once."""
        now = self._clock()
        self._expected = [when for when in self._expected if when > now]
        ahead = open_sessions + len(self._expected)
        wait = max(1, min(math.ceil(self._session_seconds * ahead), LONGEST_WAIT_SECONDS))
        if wait < LONGEST_WAIT_SECONDS:
            self._expected.append(now + wait)
        return wait

    def finished(self, worked_seconds: float) -> None:
        """A session was that much work."""
        weight = 1.0 if self._session_seconds == FIRST_GUESS_SECONDS else 0.3
        self._session_seconds += weight * (worked_seconds - self._session_seconds)


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


class Turns:
    """
    A fair lock: `threading.Lock` may hand itself back to the thread that just released it, and a long
    recording would then keep the engine from everybody else between its windows.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()  # guards the four below
        self._waiting: deque[object] = deque()
        self._in_background: deque[object] = deque()
        self._holder: object | None = None
        self._passed_over = 0  # turns given while somebody waited in the background

    @contextmanager
    def taken(self, wanted: Callable[[], bool], *, background: bool = False) -> Iterator[None]:
        """Hold the turn for the block; ClientGone when *wanted* became false while waiting."""
        ticket = object()
        queue = self._in_background if background else self._waiting
        with self._condition:
            queue.append(ticket)
        try:
            with self._condition:
                while self._holder is not None or self._next() is not ticket:
                    if not self._condition.wait(LOOK_UP_SECONDS) and not wanted():
                        raise ClientGone
                queue.remove(ticket)
                self._holder = ticket
                self._passed_over = 0 if background or not self._in_background else self._passed_over + 1
            yield
        finally:
            with self._condition:
                if self._holder is ticket:
                    self._holder = None
                else:
                    queue.remove(ticket)
                self._condition.notify_all()

    def _next(self) -> object:
        if self._in_background and (not self._waiting or self._passed_over >= TURNS_BEFORE_BACKGROUND):
            return self._in_background[0]
        return self._waiting[0]
