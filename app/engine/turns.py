"""Whose turn it is: a lock that is given in the order it was asked for, to those in the background last."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import ClientGone

LOOK_UP_SECONDS = 0.25  # how often somebody who waits checks that waiting still makes sense
# Turns others take before one in the background has one all the same: under full load, a job gets a ninth of the
# engine, and who waits for an answer waits for one more step in nine.
TURNS_BEFORE_BACKGROUND = 8


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
