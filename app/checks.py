"""What a service can do now, and why not when it can't."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

log = logging.getLogger(__name__)

Status = Literal["healthy", "degraded", "unhealthy"]

EVERY_SECONDS = 2.0  # at most that often is looked; weighing processes and asking disks take milliseconds
WAIT_SECONDS = 0.05  # a request waits so long for new results, most of which are there in 5 ms
FIRST_WAIT_SECONDS = 2.0
HANGS_SECONDS = 10.0


class Check(NamedTuple):
    """One thing the service needs; *reason* says what is wrong and what to do, empty when nothing is."""

    name: str
    reason: str = ""
    detail: str = ""


def overall(checks: Iterable[Check]) -> Status:
    """Healthy when all is well, degraded when something works, unhealthy when nothing does."""
    failed = [bool(check.reason) for check in checks]
    if not any(failed):
        return "healthy"
    return "unhealthy" if all(failed) else "degraded"


class BackgroundChecks:
    """
    The results of *look*, which a thread of its own brings up to date when somebody asks for them.

    No request waits for a disk or a server that does not answer: it gets the results before, and after HANGS_SECONDS
    the word that the checks hang. Nothing is looked at while nobody asks.
    """

    def __init__(
        self, look: Callable[[], Iterable[Check]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look, self._clock = look, clock
        self._lock = threading.Lock()  # guards the two below
        self._began = float("-inf")
        self._thread: threading.Thread | None = None
        self._results: tuple[Check, ...] = ()

    def results(self) -> tuple[Check, ...]:
        """What was found last: now, or a moment ago."""
        with self._lock:
            if self._thread is None and self._clock() >= self._began + EVERY_SECONDS:
                look = threading.Thread(target=self._update, name="checks", daemon=True)
                try:
                    look.start()
                except RuntimeError as problem:  # no thread is left
                    return (*self._results, Check("checks", f"the checks can't be made: {problem}"))
                self._began, self._thread = self._clock(), look
            thread, hangs_for = self._thread, self._clock() - self._began
        if thread is None:
            return self._results
        thread.join(WAIT_SECONDS if self._results else FIRST_WAIT_SECONDS)
        if not self._results or (thread.is_alive() and hangs_for > HANGS_SECONDS):
            reason = f"the checks have not ended for {hangs_for:.0f} s: a disk or a server does not answer"
            return (*self._results, Check("checks", reason))
        return self._results

    def _update(self) -> None:
        try:
            self._results = tuple(self._look())
        except Exception as problem:
            log.exception("the checks failed")
            reason = f"the checks failed ({type(problem).__name__}); the log has the cause"
            self._results = (Check("checks", reason),)
        finally:
            with self._lock:
                self._thread = None

    def close(self) -> None:
        """Wait for a look that goes on, for a moment."""
        if (thread := self._thread) is not None:
            thread.join(FIRST_WAIT_SECONDS)
