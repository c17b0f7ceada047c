"""Who waits for an engine: how many sessions are open, whose turn it is, and when a refused client should return."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import ClientGone, QueueFull

Wanted = Callable[[], bool]  # whether anybody still waits for the answer

RESERVED_SECONDS = 0.05  # between two steps of a session, while what it found is passed on
LOOK_UP_SECONDS = 0.25  # how often somebody who waits checks that waiting still makes sense
# Turns others take before one in the background has one all the same: under full load, a job gets a ninth of the
# engine, and who waits for an answer waits for one more step in nine.
TURNS_BEFORE_BACKGROUND = TURNS_BEFORE_OTHERS = 8
# Of work one session is, until one has been measured. Too low a guess has refused clients back before there is
# a seat, and they give up after two: at 1.0, 3 of 20 did on a machine with twice the load it could bear.
FIRST_GUESS_SECONDS = 2.0
# How much of the earlier steps the pace keeps with each new one, and how many steps it must know before anybody is
# refused for it. At 0.7, and from the first step on, one slow step refused clients who could have been served.
PACE_KEPT, PACED_STEPS = 0.85, 8
# What is before a recording may go faster than expected, and it can still be refused later; the recording itself may go
# slower, and its client would leave before the end, with the work done for nothing.
HOPE, CAUTION = 0.9, 1.15
LONGEST_WAIT_SECONDS = 60  # the OpenAI clients of the first major version obey no longer Retry-After


class Seats:
    """
    Sessions somebody waits for take a seat each; those of jobs, in the background, and live ones take none.

    Owned by an engine, and guarded by its condition.
    """

    def __init__(self, engine: str, limit: int, clock: Callable[[], float]) -> None:
        self.limit, self.taken, self.open_sessions = limit, 0, 0
        self.last_used = clock()
        self._engine, self._clock = engine, clock
        self._session_seconds = FIRST_GUESS_SECONDS  # how much work a session is, a moving average
        self._expected: list[float] = []  # when clients that were refused will be back

    def take(self, *, background: bool) -> None:
        """One session more; QueueFull when every seat is taken."""
        if not background and self.taken >= self.limit:
            wait = self._seconds_until_a_seat()
            raise QueueFull(
                f"all {self.limit} seats of the {self._engine} engine are taken; try again in {wait} s, or have "
                "a job made of it with the header Prefer: respond-async",
                retry_after_seconds=wait,
            )
        self.open_sessions += 1
        self.taken += not background

    def _seconds_until_a_seat(self) -> int:
        """For one more client: after those refused before it, so that they don't come at once."""
        now = self._clock()
        self._expected = [when for when in self._expected if when > now]
        ahead = self.taken + len(self._expected)
        wait = max(1, min(math.ceil(self._session_seconds * ahead), LONGEST_WAIT_SECONDS))
        if wait < LONGEST_WAIT_SECONDS:
            self._expected.append(now + wait)
        return wait

    def leave(self, worked_seconds: float, *, background: bool) -> None:
        """One less, after so much work; 0 for one that broke off, which says nothing of the next."""
        self.last_used = self._clock()
        self.open_sessions -= 1
        self.taken -= not background
        if worked_seconds and not background:
            weight = 1.0 if self._session_seconds == FIRST_GUESS_SECONDS else 0.3
            self._session_seconds += weight * (worked_seconds - self._session_seconds)

    def idle_seconds(self) -> float:
        """Since the end of the last session."""
        return self._clock() - self.last_used


@dataclass(eq=False, slots=True)
class Work:
    """
    What a session has to do: its place in the queue.

    *left* is in seconds of audio, or None where nobody knows; whoever reads what the session finds keeps it up to
    date. *patience_seconds* is how long its client is likely to wait for the answer.
    """

    left: float | None = None
    patience_seconds: float = math.inf
    background: bool = False
    live: bool = False  # between two steps it waits for somebody to speak
    begun: bool = False  # it has a process, or is about to
    more: bool = True  # there are steps after those it took
    steps: int = 0
    asked_at: float = 0.0
    overtaken: int = 0  # turns that those who asked later were given since its own last one
    worked_seconds: float = 0.0
    measured_left: float = 0.0  # before its last step
    step_seconds: float = 0.0


class Turns:
    """
    Whose step is next: a lock that is handed over to the session with the least left to do, so that what was begun is
    finished. By turns, of ten recordings of two minutes none was done when their clients gave up after 60 s.

    Those in the background come last. Whoever others overtook eight times has the next turn.
    """

    def __init__(self, clock: Callable[[], float], *, reserved_seconds: float = RESERVED_SECONDS) -> None:
        self._clock, self._reserved_seconds = clock, reserved_seconds
        self._condition = threading.Condition()  # guards all below
        self._waiting: deque[Work] = deque()
        self._in_background: deque[Work] = deque()
        self._open: list[Work] = []  # of all sessions but those in the background
        self._holder: Work | None = None
        self._reserved: Work | None = None  # for whom the turn is kept between two steps, and how long
        self._reserved_until = 0.0
        self._passed_over = 0  # turns given while somebody waited in the background
        self._pace: float | None = None  # seconds of work for a second of audio: the two below
        self._paced_steps, self._paced_seconds, self._paced_audio = 0, 0.0, 0.0

    @contextmanager
    def taken(self, work: Work, wanted: Wanted) -> Iterator[None]:
        """
        Hold the turn for the block, a step of *work*.

        ClientGone when *wanted* became false while waiting, QueueFull when the work can't be begun in time.
        """
        queue = self._in_background if work.background else self._waiting
        with self._condition:
            if not work.steps or work.live:
                work.asked_at = self._clock()
            if not work.steps and not work.background:
                self._open.append(work)
            self._learn(work)
            queue.append(work)
            self._release(work)
        began = None
        try:
            with self._condition:
                while self._holder is not work:
                    self._check_patience(work)
                    if self._reserved is not None and time.monotonic() >= self._reserved_until:
                        self._release(self._reserved)
                        continue
                    seconds = LOOK_UP_SECONDS if self._reserved is None else self._reserved_seconds
                    if not self._condition.wait(seconds) and not wanted():
                        raise ClientGone
            began = self._clock()
            yield
        finally:
            with self._condition:
                if began is not None:
                    work.step_seconds = self._clock() - began
                    work.worked_seconds += work.step_seconds
                    work.steps += 1
                if self._holder is not work:
                    queue.remove(work)
                elif self._is_ahead(work):
                    self._holder, self._reserved = None, work
                    self._reserved_until = time.monotonic() + self._reserved_seconds
                else:
                    self._hand_over()

    def leave(self, work: Work) -> None:
        """The session of *work* is over."""
        with self._condition:
            if work in self._open:
                self._open.remove(work)
            if self._reserved is work:
                self._release(work)

    def _is_ahead(self, work: Work) -> bool:
        """Whether *work*, whose step is over, would have the next one if it asked now, as it will in a moment."""
        if work.background or work.live or not (self._waiting or self._in_background):
            return False
        return all(self._need(other) > self._need(work) for other in self._waiting)

    def _release(self, work: Work) -> None:
        """Give the turn on where nobody has it, unless it is kept for another than *work*."""
        if self._reserved in (None, work):
            self._reserved = None
            if self._holder is None:
                self._hand_over()

    def _hand_over(self) -> None:
        self._holder = self._next()
        self._condition.notify_all()

    def _next(self) -> Work | None:
        """Whose turn it is; no longer in the queue."""
        if self._in_background and (not self._waiting or self._passed_over >= TURNS_BEFORE_BACKGROUND):
            self._passed_over = 0
            return self._in_background.popleft()
        if not self._waiting:
            return None
        self._passed_over = self._passed_over + 1 if self._in_background else 0
        found = min(self._waiting, key=self._need)  # the first of several
        if others := [work for work in self._waiting if work.overtaken >= TURNS_BEFORE_OTHERS]:
            found = min(others, key=lambda work: work.asked_at)
        self._waiting.remove(found)
        for work in self._waiting:
            work.overtaken += work.asked_at < found.asked_at
        found.overtaken = 0
        return found

    def _need(self, work: Work) -> float:
        """Seconds of work that are left; 0 where nobody knows, and to open a recording, which tells how long it is."""
        return (work.left or 0.0) * (self._pace or 1.0) if work.steps else 0.0

    def _learn(self, work: Work) -> None:
        """Measure the pace by the last step, unless it was the first to work: that may have loaded the model."""
        done = work.measured_left - (work.left or 0.0)
        if work.steps > 2 and done > 0:
            self._paced_steps += 1
            self._paced_seconds = PACE_KEPT * self._paced_seconds + work.step_seconds
            self._paced_audio = PACE_KEPT * self._paced_audio + done
            self._pace = self._paced_seconds / self._paced_audio
        work.measured_left = work.left or 0.0

    def _check_patience(self, work: Work) -> None:
        """QueueFull where *work* was not begun, and its client would have left before it were done."""
        if work.background or work.steps != 1 or work.left is None or self._paced_steps < PACED_STEPS:
            return
        own, number = self._need(work), self._open.index(work)
        needs = [self._need(other) for other in self._open]
        ahead = sum(need for other, need in enumerate(needs) if (need, other) < (own, number))
        patience = work.patience_seconds
        # Of work that takes longer than that, it only has to be begun: its client must have known.
        if self._clock() - work.asked_at + HOPE * ahead > patience - min(CAUTION * own, patience / 2):
            wait = max(1, min(math.ceil(ahead), LONGEST_WAIT_SECONDS))
            raise QueueFull(
                f"there are {ahead:.0f} s of work before this recording, which then takes {own:.0f} s, and its client "
                f"is taken to wait {patience:.0f} s (Prefer: wait=SECONDS says how long it does); "
                f"try again in {wait} s, or have a job made of it with the header Prefer: respond-async",
                retry_after_seconds=wait,
            )
