"""What the service counts: one set of prometheus_client metrics, which every view is computed from."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from prometheus_client import values
from prometheus_client.metrics import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import CollectorRegistry

from ..engine.events import Observer
from .shared_memory import WorkerSlot

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
ENGINES = ("whisper", "speech")
EXITS = ("idle", "evicted", "unloaded", "closed", "timeout", "killed", "died")
REFUSALS = (
    "probe",
    "unknown_path",
    "invalid_audio",
    "upload_too_large",
    "audio_too_long",
    "unsupported_format",
    "oversized_body",
    "authentication_failed",
    "forbidden",
    "rate_limited",
)
# Four or five a decade: what a percentile is accurate to.
LATENCY_BUCKETS = (
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 25, 60, 180,
)  # fmt: skip
WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
FACTOR_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5)


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

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(name, help, labels, registry=registry)

        def gauge(name: str, help: str, *labels: str) -> Gauge:
            return Gauge(name, help, labels, registry=registry, multiprocess_mode="livesum")

        def histogram(name: str, help: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, help, labels, registry=registry, buckets=buckets)

        self.requests = counter("http_requests_total", "Requests answered", "method", "route", "status")
        self.durations = histogram(
            "http_request_duration_seconds", "From a request's head to the end of its answer", LATENCY_BUCKETS,
            "method", "route",
        )  # fmt: skip
        self.in_progress = gauge("http_requests_in_progress", "Requests being answered")
        self.received = counter("http_request_body_bytes_total", "Bytes of bodies that came in", "route")
        self.sent = counter("http_response_body_bytes_total", "Bytes of bodies that went out", "route")
        self.refusals = counter("http_refusals_total", "Requests refused, by reason", "reason")
        self._transcribed = counter("speech_transcribed_audio_seconds_total", "Audio transcribed")
        self._spoken = counter("speech_synthesized_audio_seconds_total", "Audio synthesized", "synthesizer")
        self.factors = histogram(
            "speech_real_time_factor_ratio", "Seconds of work for a second of audio", FACTOR_BUCKETS, "task"
        )
        self._lookups = counter("speech_cache_requests_total", "Speech looked for in the cache", "result")
        self._breakers = gauge("speech_breaker_open", "Workers whose circuit breaker is open", "synthesizer")
        self._seats = gauge("engine_sessions", "Sessions running or waiting in an engine", "engine")
        self._waits = histogram("engine_wait_seconds", "Until a session's first turn", WAIT_BUCKETS, "engine")
        self._starts = counter("engine_starts_total", "Engine processes started", "engine")
        self._ready = histogram(
            "engine_cold_start_seconds", "From a process's start to its first answer", WAIT_BUCKETS, "engine"
        )
        self.exits = counter("engine_exits_total", "Engine processes ended, by reason", "engine", "reason")
        self._refused = counter("engine_refusals_total", "Sessions refused, by reason", "engine", "reason")
        self._collections = counter(
            "python_gc_collections_total", "Garbage collections in web workers", "generation"
        )
        self._collected = [0, 0, 0]
        self._begin_at_zero()
        self._series: dict[tuple[str, str, int], _Series] = {}
        self._began = self.in_progress.inc
        self._ended = self.in_progress.dec
        self.on_work: Callable[[], None] = lambda: None
        self.on_engine: Callable[[], None] = lambda: None

    def _begin_at_zero(self) -> None:
        """Have the series that alerts are about: an increase from nothing to one is none to Prometheus."""
        for engine in ENGINES:
            for reason in EXITS:
                self.exits.labels(engine, reason)
            for reason in ("queue_full", "insufficient_memory"):
                self._refused.labels(engine, reason)
        for reason in REFUSALS:
            self.refusals.labels(reason)
        for result in ("hit", "miss"):
            self._lookups.labels(result)
        self._breakers.labels("gtts")

    def request_began(self) -> None:
        """A request came in."""
        self._began()

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> _Series:
        """It was answered; the answer is where to add its bytes."""
        self._ended()
        series = self._series.get((method, route, status))
        if series is None:
            series = self._series_of(method, route, status)
        series.requests.inc()
        series.seconds.observe(seconds)
        return series

    def _series_of(self, method: str, route: str, status: int) -> _Series:
        known = method if method in METHODS else "OTHER"
        series = _Series(
            self.requests.labels(known, route, str(status)),
            self.durations.labels(known, route),
            self.received.labels(route),
            self.sent.labels(route),
        )
        if known == method:  # else made-up methods would fill the table
            self._series[method, route, status] = series
        return series

    def collect(self) -> Iterable[Metric]:
        """Every metric, over all workers."""
        self.count_collections()
        if self._slot.directory is None:
            return self.registry.collect()
        return self._merged("*")

    def of_slot(self, number: int) -> Iterable[Metric]:
        """The metrics of the worker in that slot."""
        if number == self._slot.number or self._slot.directory is None:
            return self.registry.collect()
        return self._merged(str(number))

    def _merged(self, number: str) -> Iterable[Metric]:
        from prometheus_client.multiprocess import MultiProcessCollector

        files = [str(path) for path in Path(self._slot.directory or "").glob(f"*_{number}.db")]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged

    def count_collections(self) -> None:
        """Take over the garbage collector's own counters."""
        for generation, stats in enumerate(gc.get_stats()):
            new = stats["collections"] - self._collected[generation]
            self._collected[generation] += new
            self._collections.labels(str(generation)).inc(new)

    def refused_request(self, reason: str) -> None:
        """A request was refused; *reason* is one of a few."""
        self.refusals.labels(reason).inc()

    def seats(self, engine: str, taken: int) -> None:
        """So many sessions are open now."""
        self._seats.labels(engine).set(taken)

    def waited(self, engine: str, seconds: float) -> None:
        """A session got its first turn after that long."""
        self._waits.labels(engine).observe(seconds)
        self.on_work()

    def started(self, engine: str) -> None:
        """A process was started."""
        self._starts.labels(engine).inc()

    def ready(self, engine: str, seconds: float) -> None:
        """A new process gave its first answer, that long after it was started."""
        self._ready.labels(engine).observe(seconds)
        self.on_engine()

    def ended(self, engine: str, reason: str) -> None:
        """A process ended, for one of the reasons in Observer."""
        self.exits.labels(engine, reason).inc()
        self.on_engine()

    def refused(self, engine: str, reason: str) -> None:
        """A session was refused: "queue_full" or "insufficient_memory"."""
        self._refused.labels(engine, reason).inc()

    def transcribed(self, audio_seconds: float, seconds: float) -> None:
        """A recording was transcribed to its end."""
        self._transcribed.inc(audio_seconds)
        self._worked("transcription", audio_seconds, seconds)

    def spoke(self, synthesizer: str, audio_seconds: float, seconds: float) -> None:
        """A text was spoken to its end."""
        self._spoken.labels(synthesizer).inc(audio_seconds)
        self._worked("synthesis", audio_seconds, seconds)

    def _worked(self, task: str, audio_seconds: float, seconds: float) -> None:
        if audio_seconds > 0:
            self.factors.labels(task).observe(seconds / audio_seconds)
        self.on_work()

    def looked_up(self, found: bool) -> None:
        """The cache was asked for speech."""
        self._lookups.labels("hit" if found else "miss").inc()

    def breaker(self, synthesizer: str, open: bool) -> None:
        """A circuit breaker is in that state now."""
        self._breakers.labels(synthesizer).set(int(open))
