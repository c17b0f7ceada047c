"""How the service's memory went: a bounded series of samples, taken when there is work or somebody asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .. import cgroup
from ..memory import Process
from .shared_memory import WorkerSlot

AT_WORK_SECONDS = 10.0  # between two samples while there is work: 64 KB of them are over an hour then
ASKED_SECONDS = 1.0  # a sample reads every process's page tables, 1-5 ms each


class Sample(NamedTuple):
    """The service at a time: PSS in MB by role, the control group's usage in MB, its processor seconds."""

    time: float
    pss_mb: dict[str, float]
    cgroup_mb: float | None
    cpu_seconds: float


class History:
    """One per worker, owned by Monitoring, shared by its threads; samples of all workers are one series."""

    def __init__(
        self, slot: WorkerSlot, processes: Callable[[], list[Process]], clock: Callable[[], float] = time.time
    ) -> None:
        self._memory, self._processes, self._clock = slot.memory, processes, clock
        self._ring = slot.memory.ring("samples", slot.number)
        self._last = 0.0

    def at_work(self) -> None:
        """There is work: take a sample, unless there was one lately."""
        if self._clock() - self._last >= AT_WORK_SECONDS:
            self.take()

    def samples(self, seconds: float) -> list[Sample]:
        """Those of the last *seconds*, oldest first; the last one is taken now."""
        if self._clock() - self._last >= ASKED_SECONDS:
            self.take()
        records = self._memory.records("samples", self._clock() - seconds)
        return [Sample(record.time, *record.content) for record in records]

    def take(self) -> None:
        """Take a sample: an engine came or went, or it is time."""
        self._last = now = self._clock()
        group = cgroup.memory_group()
        processes = self._processes()
        usage_mb = round(group.usage_bytes / 2**20, 1) if group else None
        cpu = round(sum(process.cpu_seconds for process in processes), 2)
        self._ring.append([by_role(processes), usage_mb, cpu], now)


def by_role(processes: Iterable[Process]) -> dict[str, float]:
    """PSS in MB of all processes of a role."""
    sums: dict[str, float] = {}
    for process in processes:
        sums[process.role] = round(sums.get(process.role, 0.0) + process.footprint.pss_mb, 1)
    return sums
