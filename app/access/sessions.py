"""How many live sessions there may be, over all workers, and whether the machine keeps up with those there are."""

from __future__ import annotations

import threading

from ..errors import QueueFull

FULL_SECONDS = 5  # until a client that was refused tries again
BUSY_LOAD = 0.9  # seconds waited for the engine for each of audio; from 1 on a session falls behind
LOAD_SECONDS = 10.0  # of audio that such a figure is of


class LiveSessions:
    """
    One per worker, owned by Services, shared by its threads; *most* over all workers, *most_here* in this one.

    *counts* has how many sessions each worker has, this one's at *number*; each writes its own.
    """

    def __init__(self, most: int, most_here: int, counts: memoryview[float], number: int) -> None:
        self._most, self._most_here = most, most_here
        self._counts, self._number = counts, number
        self._lock = threading.Lock()
        self._loads: dict[object, float] = {}

    def __len__(self) -> int:
        return len(self._loads)

    def enter(self, session: object) -> None:
        """One more; QueueFull says why not."""
        with self._lock:
            load = max(self._loads.values(), default=0.0)
            if sum(self._counts.tolist()) >= self._most or len(self._loads) >= self._most_here:
                many = f"{self._most} live session{'' if self._most == 1 else 's'} (REALTIME_SESSIONS)"
                raise QueueFull(f"{many} at a time; try again later", retry_after_seconds=FULL_SECONDS)
            if load > BUSY_LOAD:
                said = f"{load:.1f} s of work for a second of audio"
                raise QueueFull(
                    f"the live sessions there are keep this machine busy: {said}",
                    retry_after_seconds=FULL_SECONDS,
                )
            self._loads[session] = 0.0
            self._counts[self._number] = len(self._loads)

    def leave(self, session: object) -> None:
        """It is over; once more does nothing."""
        with self._lock:
            self._loads.pop(session, None)
            self._counts[self._number] = len(self._loads)

    def heard(self, session: object, audio_seconds: float, took_seconds: float) -> None:
        """The engine has had *audio_seconds* more, which its session waited *took_seconds* for."""
        with self._lock:
            if session in self._loads:
                work = self._loads[session] * LOAD_SECONDS + took_seconds
                self._loads[session] = work / (LOAD_SECONDS + audio_seconds)
