"""AUDIO_SECONDS_PER_HOUR: how much audio a caller may have transcribed and spoken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from ..errors import AudioLimited
from .counting import Counters

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..engine.protocol import Message
    from ..speech.audio_stream import Spoken
    from ..speech.transcription import Transcription

HOUR = 3600
CHARACTERS_PER_SECOND = 15  # what the voices here speak at speed 1, roughly
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

    def meter(self, caller: str) -> Meter:
        """What charges *caller* for the work that is passed through it."""
        return Meter(self, caller)


@dataclass(frozen=True, slots=True)
class Meter:
    """Charges one caller for transcriptions and speech while they are made."""

    allowance: Allowance
    caller: str

    def transcription(self, transcription: Transcription) -> Transcription:
        """*transcription*, which raises AudioLimited when the allowance is used up in the midst of it."""
        if self.allowance.seconds_per_hour:
            messages = cast("Generator[Message]", transcription.messages)
            transcription.messages = self._charged(messages)
        return transcription

    def _charged(self, messages: Generator[Message]) -> Iterator[Message]:
        charged = 0.0
        with closing(messages):
            for message in messages:
                found = message.header
                done: float = found.get(
                    {"progress": "seconds", "end": "duration"}.get(found["kind"], ""), 0.0
                )
                self.allowance.charge(self.caller, done - charged)
                charged = max(charged, done)
                if found["kind"] == "progress":
                    self.allowance.check(self.caller)
                yield message

    def spoken(self, spoken: Spoken, text: str) -> Spoken:
        """*spoken*, charged when it is closed; whoever leaves before its end pays for an estimate."""
        if not self.allowance.seconds_per_hour or spoken.cached:
            return spoken
        closed = False

        def close() -> None:
            nonlocal closed
            made = spoken.made_seconds()
            spoken.close()
            if not closed:
                self.allowance.charge(
                    self.caller, len(text) / CHARACTERS_PER_SECOND if made is None else made
                )
            closed = True

        return replace(spoken, close=close)


def _key(caller: str) -> str:
    return f"audio/{caller}"
