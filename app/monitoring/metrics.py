"""What the service counts: one set of prometheus_client metrics, which every view is computed from."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import NamedTuple

from prometheus_client import values
from prometheus_client.metrics import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import CollectorRegistry

from ..engine import Observer
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
HISTOGRAMS = {
    "http_request_duration_seconds": ("From a request's head to the end of its answer", "method", "route"),
    "speech_real_time_factor_ratio": ("Seconds of work for a second of audio", "task"),
    "engine_wait_seconds": ("Until a session's first turn", "engine"),
    "realtime_lag_seconds": ("From when audio of a live session came until it was heard",),
    "engine_cold_start_seconds": ("From a process's start to its first answer", "engine"),
}
BUCKETS = {"http_request_duration_seconds": LATENCY_BUCKETS, "speech_real_time_factor_ratio": FACTOR_BUCKETS}
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


class _Series(NamedTuple):
    """The children of one method, route and status, looked up once."""

    requests: Counter
    seconds: Histogram
    received: Counter
    sent: Counter


class Metrics(Observer):
    """
    Counts. One per worker, owned by Services, shared by its threads.

    With several workers the numbers are in files of *slot*, one set for each slot: a worker that is
    replaced leaves its counters to its successor, so they never go down and the files never become more.
    """

    def __init__(self, slot: WorkerSlot) -> None:
        # Without a second series for each, which nothing here asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        if slot.directory is not None:
            values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
                lambda: slot.number
            )
        self.registry = registry = CollectorRegistry()
        self._slot = slot
        self._counters = {
            name: Counter(name, help, labels, registry=registry) for name, (help, *labels) in COUNTERS.items()
        }
        gauges = {
            name: Gauge(name, help, labels, registry=registry, multiprocess_mode="livesum")
            for name, (help, *labels) in GAUGES.items()
        }
        self._histograms = {
            name: Histogram(name, help, labels, registry=registry, buckets=BUCKETS.get(name, WAIT_BUCKETS))
            for name, (help, *labels) in HISTOGRAMS.items()
        }
        self._metrics: dict[str, Counter | Gauge | Histogram]
        self._metrics = {**self._counters, **gauges, **self._histograms}
        self.then: dict[str, Callable[[], None]] = {}  # what is called once a metric was noted
        for name, series in FROM_THE_START.items():
            for labels in series:
                self.note(name, 0, *labels)
        self._collected = [0, 0, 0]
        self._series: dict[tuple[str, str, int], _Series] = {}
        in_progress = gauges["http_requests_in_progress"]
        self.request_began, self._request_ended = in_progress.inc, in_progress.dec

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> _Series:
        """A request was answered; returns where to add its bytes."""
        self._request_ended()
        series = self._series.get((method, route, status))
        if series is None:
            known = method if method in METHODS else "OTHER"
            series = _Series(
                self._counters["http_requests_total"].labels(known, route, str(status)),
                self._histograms["http_request_duration_seconds"].labels(known, route),
                self._counters["http_request_body_bytes_total"].labels(route),
                self._counters["http_response_body_bytes_total"].labels(route),
            )
            if known == method:  # else made-up methods would fill the table
                self._series[method, route, status] = series
        series.requests.inc()
        series.seconds.observe(seconds)
        return series

    def collect(self) -> Iterable[Metric]:
        """Every metric, over all workers."""
        for generation, stats in enumerate(gc.get_stats()):
            new = stats["collections"] - self._collected[generation]
            self._collected[generation] += new
            self.note("python_gc_collections_total", new, str(generation))
        return self.of_slot("*")

    def of_slot(self, number: int | str) -> Iterable[Metric]:
        """The metrics of the worker in that slot; "*" is all of them."""
        if number == self._slot.number or self._slot.directory is None:
            return self.registry.collect()
        from prometheus_client.multiprocess import MultiProcessCollector

        files = [str(path) for path in Path(self._slot.directory).glob(f"*_{number}.db")]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged

    def note(self, metric: str, value: float, *labels: str) -> None:
        """Count *value*, whatever the kind of the metric; then do what follows from it, if anything happened."""
        found = self._metrics[metric]
        child = found.labels(*labels) if labels else found
        if isinstance(child, Counter):
            child.inc(value)
            if not value:  # a series that is only to be there
                return
        elif isinstance(child, Gauge):
            child.set(value)
        else:
            child.observe(value)
        if (then := self.then.get(metric)) is not None:
            then()
