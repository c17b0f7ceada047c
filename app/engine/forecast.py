"""When a client that was refused should come back."""

import math
from collections.abc import Callable

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
