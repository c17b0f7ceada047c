"""A long recording in parts that are transcribed side by side: where it is cut, and how the texts come together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..voice.transcription import Segment

# How far from where it would be best a cut may be: further off the longer pauses are no longer worth it, as parts
# that differ in length keep workers waiting for the longest.
REACH_SECONDS = 60.0
ENOUGH_SECONDS = 1.0  # pauses longer than this are as good as each other, and the nearest is taken

Seconds = tuple[float, float]  # from, to


def cut(pauses: Iterable[Seconds], duration: float, part_seconds: float) -> list[Seconds]:
    """
    The parts of a recording of *duration* seconds: about equal, none much longer than *part_seconds*.

    Each cut is in the middle of a long one of *pauses* around; where there is none, there is no cut.
    """
    count = max(1, math.ceil(duration / part_seconds))
    reach = min(REACH_SECONDS, duration / count / 3)
    found = [*pauses]
    cuts = [0.0]
    for number in range(1, count):
        mark = duration * number / count
        near = [pause for pause in found if abs(_middle(pause) - mark) <= reach]
        if near:
            best = max(near, key=lambda pause: (_worth(pause), -abs(_middle(pause) - mark)))
            cuts.append(round(_middle(best), 2))  # Whisper's windows begin at hundredths of a second
    return list(zip(cuts, [*cuts[1:], duration], strict=True))


def join(parts: Iterable[tuple[Seconds, Iterable[Segment]]]) -> Iterator[Segment]:
    """
    The segments of all *parts*, which come in order, as those of one recording.

    The model may say that a last segment ends a little behind its part, where the next one begins.
    """
    number = 0
    for (_, end), segments in parts:
        for segment in segments:
            number += 1
            yield replace(segment, id=number, start=min(segment.start, end), end=min(segment.end, end))


def _middle(pause: Seconds) -> float:
    return (pause[0] + pause[1]) / 2


def _worth(pause: Seconds) -> float:
    return min(round(pause[1] - pause[0], 1), ENOUGH_SECONDS)
