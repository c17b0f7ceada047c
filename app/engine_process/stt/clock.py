"""
The clock of a recording's container: when what was decoded was heard.

Sound may begin late in a film, and a call has gaps where packets were lost. The samples are decoded one after the other
all the same, and nothing is put between them: a file may claim any gap. Only the times that are told follow the clock.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import av

from .mel import RATE

# Encoders begin up to 50 ms early or late, and live recorders write times that tremble.
TOLERANCE_SECONDS = 0.1
LONGEST_SECONDS = 24 * 3600.0  # no recording goes on for longer
NEAR_SECONDS = 0.5  # Whisper's times are up to half a second off
MARK_SAMPLES = RATE  # from one mark that is kept to the next
LEAD_SAMPLES = RATE  # of what is decoded before it is needed: twice of what any codec looks back


class Mark(NamedTuple):
    """
    Where decoding may begin: at a packet, and the sample of the whole recording that this is.

    *shift* is how many seconds the container's clock is ahead of the samples there.
    """

    packet: int
    sample: int
    shift: float = 0.0


BEGINNING = Mark(0, 0)


class Clock:
    """
    How far the container's times are ahead of the samples, from which sample on. One session owns it.

    Beside it, the length the container states, if it does, and where decoding may begin again: a mark a second.

    Times that run backwards are not believed, nor those past the end the container itself states.
    """

    def __init__(self) -> None:
        self.shifts: deque[tuple[float, float]] = deque([(0.0, 0.0)])  # from which second of the samples on
        self.decoded_seconds = 0.0
        # What is read next, and what comes out of the resampler next, which holds some samples back.
        self.packet = self.sample = 0
        # The container's time that is ours to begin with; None: at the next frame.
        self.zero: float | None = 0.0
        self.latest_seconds = LONGEST_SECONDS
        self.stated_seconds: float | None = None
        self.marks: deque[Mark] = deque([BEGINNING])

    @property
    def latest_shift(self) -> float:
        """The shift of what is decoded now, in seconds."""
        return self.shifts[-1][1]

    def begin(self, start: Mark) -> None:
        """Decoding begins at *start*."""
        self.sample = start.sample
        self.decoded_seconds = start.sample / RATE
        self.shifts = deque([(0.0, start.shift)])
        self.marks = deque([start])

    def note_packet(self) -> None:
        """A packet is read next."""
        if self.sample >= self.marks[-1].sample + MARK_SAMPLES:
            self.marks.append(Mark(self.packet, self.sample, self.latest_shift))

    def mark_before(self, sample: int) -> Mark:
        """The last mark that is early enough for what begins at *sample*; later calls are for later samples."""
        while len(self.marks) > 1 and self.marks[1].sample <= sample - LEAD_SAMPLES:
            self.marks.popleft()
        return self.marks[0]

    def align(self, zero: float | None, latest_seconds: float | None) -> None:
        """
        A container begins: *zero* of its seconds is the recording's beginning; None: it goes on where the samples are.

        No time is believed that is later than *latest_seconds*.
        """
        self.zero = zero
        self.latest_seconds = min(LONGEST_SECONDS, (latest_seconds or LONGEST_SECONDS) + 1)

    def follow(self, frames: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
        """*frames*, their times read as they pass."""
        for frame in frames:
            if frame.time is not None:
                self._read(frame.time)
            yield frame
            self.decoded_seconds += frame.samples / frame.sample_rate

    def _read(self, time: float) -> None:
        expected = self.decoded_seconds + self.latest_shift
        if self.zero is None:
            self.zero = time - expected
        ahead = time - self.zero - expected
        if abs(ahead) <= TOLERANCE_SECONDS:
            return
        if ahead > 0 and expected + ahead > self.latest_seconds:
            self.zero += ahead
        elif self.latest_shift + ahead >= -TOLERANCE_SECONDS:  # also back from a leap that was none
            self.shifts.append((self.decoded_seconds, max(0.0, self.latest_shift + ahead)))
        else:
            self.zero += ahead

    def forget(self, sample: int) -> None:
        """Let go of what is only needed before *sample*."""
        while len(self.shifts) > 1 and self.shifts[1][0] * RATE <= sample:
            self.shifts.popleft()

    def span(self, begin: float, end: float, near: float = NEAR_SECONDS) -> tuple[float, float]:
        """
        Times from and to, of seconds of the samples.

        Where a gap is within *near* of one of them and most of the span is on its other side, that one is at the gap.
        """
        for leap, _ in self.shifts:
            if begin < leap < end:
                if leap - begin <= min(near, end - leap):
                    begin = leap
                elif end - leap <= near:
                    end = leap
        later = [shift for leap, shift in self.shifts if leap <= begin]
        before = [shift for leap, shift in self.shifts if leap < end or leap == 0]
        return begin + (later or [self.shifts[0][1]])[-1], end + (before or [self.shifts[0][1]])[-1]
