"""
What the service counts, over all workers, since the start and lately; every view is computed from it.

Counters are numbers in the memory that workers share, not prometheus_client's: its objects and what it imports are
1.3 MB of the idle service, and a request's seven changes, each under its lock, took 12 of 260 µs.
"""

from __future__ import annotations

import gc
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from ..engine import Observer
from ..logs import RequestRecord
from ..synthesizers import SYNTHESIZERS
from .shared_memory import WorkerSlot

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# Four or five a decade: what a percentile is accurate to.
LATENCY_BUCKETS = (
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 25, 60, 180,
)  # fmt: skip
WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
FACTOR_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5)

# Of each its help and its labels.
COUNTERS: dict[str, tuple[str, ...]] = {
    "http_requests_total": ("Requests answered", "method", "route", "status"),
    "http_request_body_bytes_total": ("Bytes of bodies that came in", "route"),
    "http_response_body_bytes_total": ("Bytes of bodies that went out", "route"),
    "http_refusals_total": ("Requests refused, by reason", "reason"),
    "speech_transcribed_audio_seconds_total": ("Audio transcribed",),
    "speech_synthesized_audio_seconds_total": ("Audio synthesized", "synthesizer"),
    "speech_cache_requests_total": ("Speech looked for in the cache", "result"),
    "engine_starts_total": ("Engine processes started", "engine"),
    "engine_exits_total": ("Engine processes ended, by reason", "engine", "reason"),
    "engine_refusals_total": ("Sessions refused, by reason", "engine", "reason"),
    "realtime_audio_seconds_total": ("Audio of live sessions",),
    "realtime_refusals_total": ("Live sessions refused for want of room, by reason", "reason"),
    "python_gc_collections_total": ("Garbage collections in web workers", "generation"),
}
GAUGES: dict[str, tuple[str, ...]] = {
    "http_requests_in_progress": ("Requests being answered",),
    "speech_breaker_open": ("Workers whose circuit breaker is open", "synthesizer"),
    "realtime_sessions": ("Live sessions that are open",),
    "engine_sessions": ("Sessions running or waiting in an engine", "engine"),
}
HISTOGRAMS: dict[str, tuple[str, ...]] = {
    "http_request_duration_seconds": ("From a request's head to the end of its answer", "method", "route"),
    "speech_real_time_factor_ratio": ("Seconds of work for a second of audio", "task"),
    "engine_wait_seconds": ("Until a session's first turn", "engine"),
    "realtime_lag_seconds": ("From when audio of a live session came until it was heard",),
    "engine_cold_start_seconds": ("From a process's start to its first answer", "engine"),
}
BUCKETS = {
    **dict.fromkeys(HISTOGRAMS, WAIT_BUCKETS),
    "http_request_duration_seconds": LATENCY_BUCKETS,
    "speech_real_time_factor_ratio": FACTOR_BUCKETS,
}
ENGINES = ("whisper", "speech")
# The series that alerts are about are there from the start: an increase from nothing to one is none to Prometheus.
FROM_THE_START: dict[str, list[tuple[str, ...]]] = {
    "engine_exits_total": [*product(ENGINES, "idle evicted unloaded closed timeout killed died".split())],
    "engine_refusals_total": [*product(ENGINES, ("queue_full", "insufficient_memory"))],
    "http_refusals_total": [
        ("probe",), ("unknown_path",), ("invalid_audio",), ("upload_too_large",), ("audio_too_long",),
        ("unsupported_format",), ("oversized_body",), ("authentication_failed",), ("forbidden",), ("rate_limited",),
    ],
    "realtime_refusals_total": [("queue_full",)],
    "speech_cache_requests_total": [("hit",), ("miss",)],
    "speech_breaker_open": [(one.name,) for one in SYNTHESIZERS.values() if one.sends_texts_to],
}  # fmt: skip


# What is reported by window.
REPORTED = frozenset(
    (
        "http_requests_total",
        "http_refusals_total",
        "engine_exits_total",
        "http_request_duration_seconds",
        "speech_real_time_factor_ratio",
    )
)
EVERY_SECONDS = 15.0
LONGEST_SECONDS = 3600.0

# By metric and labels. A histogram's are the counts bucket by bucket, not cumulative, one for what is above the last
# bound, and the sum of what was observed.
Counts = dict[tuple[str, ...], list[float]]


class _Series(NamedTuple):
    """Where the numbers of one method, route and status are."""

    requests: int
    seconds: int
    received: int
    sent: int


class Metrics(Observer):
    """
    Counts. One per worker, owned by Monitoring, shared by its threads.

    A worker that is replaced leaves its counters to its successor, so they never go down.
    """

    def __init__(self, slot: WorkerSlot) -> None:
        self._slot = slot
        self._counters, self._gauges = (
            slot.memory.table(name, slot.number) for name in ("counters", "gauges")
        )
        self._lock = threading.Lock()
        self.then: dict[str, Callable[[], None]] = {}  # what is called once a metric was noted
        for name, series in FROM_THE_START.items():
            for labels in series:
                self.note(name, 0, *labels)
        for table in (COUNTERS, GAUGES, HISTOGRAMS):
            for name, (_, *names) in table.items():
                if not names:
                    self._row(name)
        self._collected = [0, 0, 0]
        self._series: dict[tuple[str, str, int], _Series] = {}
        self._in_progress = self._row("http_requests_in_progress")

    def _row(self, metric: str, *labels: str) -> int:
        if metric in GAUGES:
            return self._gauges.row((metric, *labels), 1)
        return self._counters.row((metric, *labels), len(BUCKETS[metric]) + 2 if metric in HISTOGRAMS else 1)

    def request_began(self) -> None:
        """A request is being answered."""
        with self._lock:
            self._gauges.numbers[self._in_progress] += 1

    def request_ended(self, request: RequestRecord) -> None:
        """A request was answered."""
        series = self._series.get((request.method, request.route, request.status))
        with self._lock:
            if series is None:
                series = self._new_series(request)
            numbers = self._counters.numbers
            numbers[series.requests] += 1
            self._observe(series.seconds, LATENCY_BUCKETS, request.seconds)
            numbers[series.received] += request.received_bytes
            numbers[series.sent] += request.sent_bytes
            self._gauges.numbers[self._in_progress] -= 1

    def _new_series(self, request: RequestRecord) -> _Series:
        known = request.method if request.method in METHODS else "OTHER"
        series = _Series(
            self._row("http_requests_total", known, request.route, str(request.status)),
            self._row("http_request_duration_seconds", known, request.route),
            self._row("http_request_body_bytes_total", request.route),
            self._row("http_response_body_bytes_total", request.route),
        )
        if known == request.method:  # else made-up methods would fill the table
            self._series[request.method, request.route, request.status] = series
        return series

    def note(self, metric: str, value: float, *labels: str) -> None:
        """Count *value*, whatever the kind of the metric; then do what follows from it, if anything happened."""
        with self._lock:
            at = self._row(metric, *labels)
            if metric in GAUGES:
                self._gauges.numbers[at] = value
            elif metric in HISTOGRAMS:
                self._observe(at, BUCKETS[metric], value)
            else:
                self._counters.numbers[at] += value
                if not value:  # a series that is only to be there
                    return
        if (then := self.then.get(metric)) is not None:
            then()

    def _observe(self, begin: int, bounds: tuple[float, ...], value: float) -> None:
        """Count *value* in the histogram that begins there."""
        self._counters.numbers[begin + bisect_left(bounds, value)] += 1
        self._counters.numbers[begin + len(bounds) + 1] += value

    def total(self) -> Counts:
        """Every metric, over all workers."""
        for generation, stats in enumerate(gc.get_stats()):
            new = stats["collections"] - self._collected[generation]
            self._collected[generation] += new
            self.note("python_gc_collections_total", new, str(generation))
        found: Counts = {}
        for number in range(self._slot.memory.slots):
            for name in ("counters", "gauges"):
                _add(found, self._slot.memory.table(name, number).read())
        return found


def of(counts: Counts, metric: str) -> Counts:
    """Those of *metric*, by its labels."""
    return {key[1:]: numbers for key, numbers in counts.items() if key[0] == metric}


def _add(counts: Counts, other: Counts, sign: int = 1) -> None:
    for key, numbers in other.items():
        before = counts.get(key) or [0.0] * len(numbers)
        counts[key] = [a + sign * b for a, b in zip(before, numbers, strict=True)]


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

    def __init__(self, slot: WorkerSlot, clock: Callable[[], float] = time.time) -> None:
        self._slot, self._clock = slot, clock
        self._ring = slot.memory.ring("snapshots", slot.number)
        self._lock = threading.Lock()
        self._every = EVERY_SECONDS
        self._take(clock())

    def before_a_change(self, now: float) -> None:
        """Take a snapshot where one is due, as of the last change before *now*."""
        if now >= self.due and self._lock.acquire(blocking=False):
            try:
                self._take(now)
            finally:
                self._lock.release()

    def _take(self, now: float) -> None:
        self.due = now + self._every
        number = self._slot.number
        counts = self._reported(number)
        size = self._ring.append(list(counts.items()), self._slot.memory.changed[number] or now)
        # The more there is to keep, the less often: the ring has to last for the longest window.
        self._every = max(EVERY_SECONDS, 1.2 * LONGEST_SECONDS * size / self._ring.size_bytes)

    def _reported(self, number: int) -> Counts:
        counts = self._slot.memory.table("counters", number).read()
        return {key: numbers for key, numbers in counts.items() if key[0] in REPORTED}

    def last(self, seconds: float) -> tuple[Counts, float]:
        """What was counted in the last *seconds*, over all workers, and since when (Unix time) that is."""
        now = self._clock()
        begin = now - seconds
        found: Counts = {}
        since = begin
        for number in range(self._slot.memory.slots):
            if self._slot.memory.changed[number] <= begin:
                continue
            _add(found, self._reported(number))
            start = self._slot.memory.ring("snapshots", number).since(begin)
            if start is not None:
                _add(found, {tuple(key): numbers for key, numbers in start.content}, -1)
                since = min(since, start.time) if start.time <= begin else max(since, start.time)
        return found, since
