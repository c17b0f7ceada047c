"""What was counted lately: differences between the counters now and snapshots of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric

from .metrics import Metrics
from .shared_memory import WorkerSlot

EVERY_SECONDS = 15.0
LONGEST_SECONDS = 3600.0

# The counters that are reported by window, and the labels a count is kept under.
COUNTED = {
    "http_requests": ("method", "route", "status"),
    "http_requests_in_progress": (),
    "engine_exits": ("engine", "reason"),
    "http_refusals": ("reason",),
}
TIMED = {"http_request_duration_seconds": ("method", "route"), "speech_real_time_factor_ratio": ("task",)}


@dataclass(slots=True)
class Counts:
    """
    Counts by metric and labels, joined by spaces: `single["http_requests"]["GET /health 200"]`.

    *spread* has a histogram's counts bucket by bucket, not cumulative, and after them the sum of what was
    observed.
    """

    single: dict[str, dict[str, float]] = field(default_factory=lambda: {name: {} for name in COUNTED})
    spread: dict[str, dict[str, list[float]]] = field(default_factory=lambda: {name: {} for name in TIMED})

    def add(self, other: Counts, sign: int = 1) -> None:
        """Add *other*; with -1, take it away."""
        for name, counts in other.single.items():
            own = self.single[name]
            for key, count in counts.items():
                own[key] = own.get(key, 0) + sign * count
        for name, spreads in other.spread.items():
            mine = self.spread[name]
            for key, spread in spreads.items():
                before = mine.get(key) or [0.0] * len(spread)
                mine[key] = [a + sign * b for a, b in zip(before, spread, strict=True)]


def counts_of(metrics: Iterable[Metric]) -> Counts:
    """The counters that are reported by window, read from *metrics*."""
    found = Counts()
    for metric in metrics:
        if (labels := COUNTED.get(metric.name)) is not None:
            for sample in metric.samples:
                found.single[metric.name][_key(sample.labels, labels)] = sample.value
        elif labels := TIMED.get(metric.name):
            spreads = found.spread[metric.name]
            below: dict[str, float] = {}
            for sample in metric.samples:
                key = _key(sample.labels, labels)
                if sample.name.endswith("_bucket"):
                    spreads.setdefault(key, []).append(sample.value - below.get(key, 0.0))
                    below[key] = sample.value
            for sample in metric.samples:
                if sample.name.endswith("_sum"):
                    spreads[_key(sample.labels, labels)].append(sample.value)
    return found


def _key(labels: dict[str, str], names: tuple[str, ...]) -> str:
    return " ".join([labels[name] for name in names])


def quantile(share: float, spread: list[float], bounds: tuple[float, ...]) -> float | None:
    """
    The value that *share* of the observations are at most, exact to a bucket; None without observations.

    Even spacing within a bucket is assumed, as Prometheus's histogram_quantile does; what is above the last
    bound counts as that bound.
    """
    counts = spread[:-1]
    rank, seen = share * sum(counts), 0.0
    if not rank:
        return None
    for number, count in enumerate(counts[: len(bounds)]):
        if count and seen + count >= rank:
            low = bounds[number - 1] if number else 0.0
            return low + (bounds[number] - low) * (rank - seen) / count
        seen += count
    return bounds[-1]


class Windows:
    """
    Snapshots of this worker's counters, and what changed in a window of time, over all workers.

    Snapshots are taken when a request ends, at most every 15 s: nothing wakes an idle service.
    """

    def __init__(self, metrics: Metrics, slot: WorkerSlot, clock: Callable[[], float] = time.time) -> None:
        self._metrics, self._slot, self._clock = metrics, slot, clock
        self._ring = slot.memory.ring("snapshots", slot.number)
        self._lock = threading.Lock()
        self._every = EVERY_SECONDS
        if slot.directory is None:
            self._ring.clear()  # a predecessor's counters ended with it
        if self._ring.since(clock()) is None:
            self._append(Counts(), clock())
        self.due = clock() + self._every

    def before_a_change(self, now: float) -> None:
        """Take a snapshot where one is due, as of the last change before *now*."""
        if now >= self.due and self._lock.acquire(blocking=False):
            try:
                self.due = now + self._every
                self._append(
                    counts_of(self._metrics.of_slot(self._slot.number)),
                    self._slot.memory.changed[self._slot.number] or now,
                )
            finally:
                self._lock.release()

    def _append(self, counts: Counts, as_of: float) -> None:
        size = self._ring.append([counts.single, counts.spread], as_of)
        # The more there is to keep, the less often: the ring has to last for the longest window.
        self._every = max(EVERY_SECONDS, 1.2 * LONGEST_SECONDS * size / self._ring.size_bytes)

    def last(self, seconds: float) -> tuple[Counts, float]:
        """What was counted in the last *seconds*, over all workers, and since when (Unix time) that is."""
        now = self._clock()
        begin = now - seconds
        found, since = Counts(), begin
        # Without files each worker can read its own counters only; other slots have what one before it left.
        numbers = range(self._slot.memory.slots) if self._slot.directory else [self._slot.number]
        for number in numbers:
            if self._slot.memory.changed[number] <= begin:
                continue
            found.add(counts_of(self._metrics.of_slot(number)))
            start = self._slot.memory.ring("snapshots", number).since(begin)
            if start is not None:
                found.add(Counts(*start.content), -1)
                since = min(since, start.time) if start.time <= begin else max(since, start.time)
        return found, since
