"""AUDIO_SECONDS_PER_HOUR: how much audio a caller may have transcribed and spoken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, cast

from ..errors import AudioLimited
from .counting import Counters

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..voice.wire import Message

HOUR = 3600
UNITS = 1000  # of a second: Redis counts whole numbers


class Allowance:
    """
    Seconds of audio a caller may have in an hour, which begins with the first; any thread. 0 is any number.

    Charged as the work goes on: a recording that uses the allowance up is ended there, so the overrun is one
    window of 30 s for each request a caller has running.
    """

    def __init__(
        self, seconds_per_hour: int, counters: Counters, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.seconds_per_hour = seconds_per_hour
        self._counters, self._clock = counters, clock

    def check(self, caller: str) -> None:
        """AudioLimited when *caller* has used it up."""
        if self.seconds_per_hour and self._counters.get(_key(caller)) >= self.seconds_per_hour * UNITS:
            wait = max(1, math.ceil(self._counters.get_expiry(_key(caller)) - self._clock()))
            raise AudioLimited(
                f"{self.seconds_per_hour} seconds of audio an hour are used up; there may be more in {wait} s",
                retry_after_seconds=wait,
            )

    def charge(self, caller: str, seconds: float) -> None:
        """*caller* has had *seconds* more."""
        if self.seconds_per_hour and seconds > 0:
            self._counters.incr(_key(caller), HOUR, math.ceil(seconds * UNITS))

    def metered(self, caller: str, messages: Iterator[Message]) -> Iterator[Message]:
        """A transcription's messages, each charged for the audio it tells of; AudioLimited in the midst of it."""
        if not self.seconds_per_hour:
            return messages
        return self._metered(caller, cast("Generator[Message]", messages))

    def _metered(self, caller: str, messages: Generator[Message]) -> Iterator[Message]:
        charged = 0.0
        with closing(messages):
            for message in messages:
                found = message.header
                done = {"progress": "seconds", "end": "duration"}.get(found["kind"])
                if done is not None and found[done] > charged:
                    self.charge(caller, found[done] - charged)
                    charged = found[done]
                    if found["kind"] != "end":
                        self.check(caller)
                yield message


def _key(caller: str) -> str:
    return f"audio/{caller}"
