"""Where a long recording is cut into parts that are transcribed side by side."""

import math
from collections.abc import Iterable

from .transcription import Clip

# How far from where it would be best a cut may be: further off the longer pauses are no longer worth it, as parts
# that differ in length keep workers waiting for the longest.
REACH_SECONDS = 60.0
ENOUGH_SECONDS = 1.0  # pauses longer than this are as good as each other, and the nearest is taken


def cut(pauses: Iterable[Clip], duration: float, part_seconds: float) -> list[Clip]:
    """
    The parts of a recording of *duration* seconds: about equal, none much longer than *part_seconds*.

    Each cut is in the middle of a long one of *pauses* around; where there is none, there is no cut.
    """
    count = max(1, math.ceil(duration / part_seconds))
    reach = min(REACH_SECONDS, duration / count / 3)
    found = [*pauses]
    begins = [Clip(0.0, duration)]
    for number in range(1, count):
        mark = duration * number / count
        near = [pause for pause in found if abs(_middle(pause) - mark) <= reach]
        if near:
            best = max(near, key=lambda pause: (_worth(pause), -abs(_middle(pause) - mark)))
            middle = round(_middle(best), 2)  # Whisper's windows begin at hundredths of a second
            if middle > begins[-1].start:
                begins[-1] = begins[-1]._replace(end=middle)
                begins.append(best._replace(start=middle, end=duration))
    return begins


def _middle(pause: Clip) -> float:
    return (pause.start + pause.end) / 2


def _worth(pause: Clip) -> float:
    return min(round(pause.end - pause.start, 1), ENOUGH_SECONDS)
