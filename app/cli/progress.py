"""How far a long recording is, on one line of the terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..speech.subtitles import clock

BAR_WIDTH = 24
OFTEN_SECONDS = 0.2


class Progress:
    """Draws itself over; for one thread. Without *total_seconds* it has no bar, only a time."""

    def __init__(self, total_seconds: float | None) -> None:
        self._total, self._began, self._due = total_seconds, time.monotonic(), 0.0

    def show(self, done_seconds: float) -> None:
        """Draw *done_seconds* of audio, unless that was done just now."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + OFTEN_SECONDS
            sys.stderr.write(f"\r{drawn(done_seconds, self._total, now - self._began)}\033[K")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave the line as it was before."""
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()


def drawn(done_seconds: float, total_seconds: float | None, took_seconds: float) -> str:
    """The line: a bar, how much is done, how fast it goes, how long it will take."""
    times = f"{short(done_seconds)}"
    bar = left = ""
    speed = done_seconds / took_seconds if took_seconds else 0.0
    if total_seconds:
        share = min(1.0, done_seconds / total_seconds)
        bar = f"[{'#' * round(share * BAR_WIDTH):{BAR_WIDTH}}] {share:4.0%}  "
        times += f" of {short(total_seconds)}"
        if speed:
            left = f", {short(max(0.0, total_seconds - done_seconds) / speed)} left"
    return f"{bar}{times}{f'  {speed:.0f} x real time' if speed else ''}{left}"


def short(seconds: float) -> str:
    """Hours only where there are some: 3:20, 1:03:20."""
    return clock(seconds, ".")[:8].removeprefix("00:").removeprefix("0")


@contextmanager
def progress(total_seconds: float | None) -> Iterator[Progress]:
    """A line that is gone afterwards, whatever happened."""
    line = Progress(total_seconds)
    try:
        line.show(0.0)
        yield line
    finally:
        line.clear()
