"""How much a process and all it started weigh, now and at the most."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from app import memory

INTERVAL_SECONDS = 0.025


@dataclass
class Weight:
    """MB of PSS by role (master, web, whisper, speech, or none of these)."""

    roles: dict[str, float] = field(default_factory=dict)

    @property
    def total_mb(self) -> float:
        """All roles."""
        return sum(self.roles.values())


def weigh(root_pid: int) -> Weight:
    """What the process *root_pid* and its descendants weigh now."""
    weight = Weight()
    for process in memory.service(root_pid):
        weight.roles[process.role] = weight.roles.get(process.role, 0) + process.footprint.pss_mb
    return weight


class Peak:
    """
    The largest weights seen while a `with` block runs: of all processes together, and of each role.

    Looks every 25 ms from a thread of this process, so that what is weighed is not slowed by it; a window
    of audio keeps its largest buffers for some 300 ms.
    """

    def __init__(self, root_pid: int, weigh: Callable[[int], Weight] = weigh) -> None:
        self.total_mb = 0.0
        self.roles: dict[str, float] = {}
        self._root_pid, self._weigh = root_pid, weigh
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL_SECONDS):
            now = self._weigh(self._root_pid)
            self.total_mb = max(self.total_mb, now.total_mb)
            for role, weight_mb in now.roles.items():
                self.roles[role] = max(self.roles.get(role, 0), weight_mb)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
