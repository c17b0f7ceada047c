"""Whose turn it is: a lock that is given in the order it was asked for."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import ClientGone

LOOK_UP_SECONDS = 0.25  # how often somebody who waits checks that waiting still makes sense


class Turns:
    """
    A fair lock: `threading.Lock` may hand itself back to the thread that just released it, and a long
    recording would then keep the engine from everybody else between its windows.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def taken(self, wanted: Callable[[], bool]) -> Iterator[None]:
        """Hold the turn for the block; ClientGone when *wanted* became false while waiting."""
        ticket = object()
        with self._condition:
            self._queue.append(ticket)
        try:
            with self._condition:
                while self._queue[0] is not ticket:
                    if not self._condition.wait(LOOK_UP_SECONDS) and not wanted():
                        raise ClientGone
            yield
        finally:
            with self._condition:
                self._queue.remove(ticket)
                self._condition.notify_all()
