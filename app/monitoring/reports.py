"""What monitoring tells when somebody asks: Prometheus's text, performance, production and security."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge

from .. import __version__, cgroup
from ..config import Settings
from ..files import free_bytes
from ..memory import MB
from .metrics import FACTOR_BUCKETS, LATENCY_BUCKETS, Metrics
from .monitoring import Monitoring, by_role
from .windows import Counts, counts_of, quantile

if TYPE_CHECKING:
    from ..services import Services

Report = dict[str, object]
SHOWN = 20  # of lists of what was last
MINUTES_5, HOUR = 300.0, 3600.0
# Engines that ended because somebody or the budget wanted it are no sign of trouble.
TROUBLE = ("died", "killed", "timeout")
# Where the hosts say which commit runs: Render, Heroku (build, and with dyno metadata), or the operator.
COMMIT_VARIABLES = ("RENDER_GIT_COMMIT", "HEROKU_SLUG_COMMIT", "SOURCE_VERSION", "GIT_COMMIT")


def performance(monitoring: Monitoring, seconds: float) -> Report:
    """Each route's counts, rates and percentiles in the last *seconds*, and since the start."""
    window, since = monitoring.windows.last(seconds)
    total = counts_of(monitoring.metrics.collect())
    slow = _last(monitoring, "slow", seconds, "method", "route", "status", "seconds", "request_id")
    return {
        "window_seconds": seconds,
        "since": _iso(since),
        "in_flight": round(total.single["http_requests_in_progress"][""]),
        "routes": [
            {
                "method": method,
                "route": route,
                "count_total": round(count),
                **_timing(window, method, route, since),
            }
            for (method, route), count in sorted(_by_route(total).items())
        ],
        "speech": {
            task: {"count": round(sum(spread[:-1])), **_percentiles(spread, FACTOR_BUCKETS)}
            for task, spread in window.spread["speech_real_time_factor_ratio"].items()
        },
        "slowest": sorted(slow, key=lambda one: -float(str(one["seconds"])))[:SHOWN],
    }


def _timing(window: Counts, method: str, route: str, since: float) -> Report:
    count = _by_route(window).get((method, route), 0.0)
    spread = window.spread["http_request_duration_seconds"].get(f"{method} {route}", [0.0])
    elapsed = max(1.0, time.time() - since)
    return {
        "count": round(count),
        "rate_per_second": round(count / elapsed, 4),
        "mean_seconds": round(spread[-1] / count, 5) if count else None,
        **{f"{name}_seconds": value for name, value in _percentiles(spread, LATENCY_BUCKETS).items()},
    }


def _percentiles(spread: list[float], bounds: tuple[float, ...]) -> dict[str, float | None]:
    found = {f"p{percent}": quantile(percent / 100, spread, bounds) for percent in (50, 95, 99)}
    return {name: None if value is None else round(value, 5) for name, value in found.items()}


def _by_route(counts: Counts) -> dict[tuple[str, str], float]:
    sums: dict[tuple[str, str], float] = {}
    for key, count in counts.single["http_requests"].items():
        method, rest = key.split(" ", 1)
        route = rest.rpartition(" ")[0]
        sums[method, route] = sums.get((method, route), 0.0) + count
    return sums


def _last(monitoring: Monitoring, ring: str, seconds: float, *fields: str) -> list[Report]:
    """What the rings of all workers hold of the last *seconds*, newest first."""
    records = monitoring.slot.memory.records(ring, time.time() - seconds)
    return [
        {"time": _iso(record.time), **dict(zip(fields, record.content, strict=True))}
        for record in reversed(records)
    ]


def production(services: Services, monitoring: Monitoring) -> Report:
    """How it is going: since when, with what, how much failed, and the alerts."""
    recent, _ = monitoring.windows.last(MINUTES_5)
    hour, _ = monitoring.windows.last(HOUR)
    samples = monitoring.history.samples(HOUR)
    free_mb, used_share = disk_of_uploads(services.settings)
    budget_mb = services.speech.budget.limit_mb * services.settings.web_concurrency
    first, now = samples[0], samples[-1]
    seconds = now.time - first.time
    processor = round(100 * (now.cpu_seconds - first.cpu_seconds) / seconds, 1) if first is not now else None
    weight_mb = sum(now.pss_mb.values())
    readings = {
        "error_percent": 100 * error_rate(recent),
        "latency_seconds": _slowest_route(recent),
        "memory_percent": 100 * weight_mb / budget_mb,
        "disk_percent": 100 * used_share,
        "engine_restarts": _in_trouble(hour),
    }
    return {
        "version": __version__,
        "commit": commit(),
        "uptime_seconds": round(time.time() - services.started_at, 1),
        "worker_restarts": max(0, monitoring.slot.memory.starts - services.settings.web_concurrency),
        "engine_exits_1h": {key: round(count) for key, count in hour.single["engine_exits"].items() if count},
        "cpu": {"seconds_total": now.cpu_seconds, "percent": processor},
        "memory": {
            "pss_mb": round(weight_mb, 1),
            "by_role": now.pss_mb,
            "budget_mb": round(budget_mb, 1),
            "cgroup_mb": now.cgroup_mb,
        },
        "disk": {"free_mb": round(free_mb, 1), "used_percent": round(readings["disk_percent"], 1)},
        "jobs": _jobs(services),
        "errors": {
            "rate_5m": round(error_rate(recent), 5),
            "rate_1h": round(error_rate(hour), 5),
            "count_5m": round(_errors(recent)),
            "count_1h": round(_errors(hour)),
            "recent": _last(monitoring, "errors", HOUR, "type", "route", "status", "request_id")[:SHOWN],
        },
        "alerts": [_alert(services.settings, name, reading) for name, reading in readings.items()],
    }


def _alert(settings: Settings, name: str, reading: float) -> Report:
    """The alert *name* with its threshold, its reading, and whether it is active."""
    threshold = getattr(settings, f"alert_{name}")
    return {
        "name": name,
        "setting": f"ALERT_{name.upper()}",
        "threshold": threshold,
        "value": round(reading, 3),
        "active": reading > threshold,
    }


def _jobs(services: Services) -> Report | None:
    """How much there is to do; None while what keeps jobs is away."""
    counts = services.job_counts()
    if counts is None:
        return None
    return {
        **counts.by_state,
        "oldest_waiting_seconds": round(counts.oldest_waiting_seconds, 1),
        "stored_mb": round(counts.stored_bytes / MB, 1),
    }


def _errors(counts: Counts) -> float:
    requests = counts.single["http_requests"].items()
    return sum(count for key, count in requests if key.rpartition(" ")[2] >= "500")


def error_rate(counts: Counts) -> float:
    """The share of requests answered with a status of 500 or more; 0 without requests."""
    return _errors(counts) / max(1.0, sum(counts.single["http_requests"].values()))


def _slowest_route(counts: Counts) -> float:
    """The largest 95th percentile of any route."""
    spreads = counts.spread["http_request_duration_seconds"].values()
    return max((quantile(0.95, spread, LATENCY_BUCKETS) or 0.0 for spread in spreads), default=0.0)


def _in_trouble(counts: Counts) -> int:
    exits = counts.single["engine_exits"].items()
    return round(sum(count for key, count in exits if key.rpartition(" ")[2] in TROUBLE))


def security(monitoring: Monitoring, seconds: float) -> Report:
    """Refused requests: the reasons and the addresses."""
    total = counts_of(monitoring.metrics.collect()).single["http_refusals"]
    window, since = monitoring.windows.last(seconds)
    counted = window.single["http_refusals"]
    refused = monitoring.slot.memory.records("addresses", time.time() - seconds)
    addresses = Counter(record.content for record in refused)
    recent = _last(monitoring, "refusals", seconds, "reason", "detail", "address", "route", "request_id")
    return {
        "window_seconds": seconds,
        "since": _iso(since),
        "refusals": {
            reason: {"total": round(count), "window": round(counted.get(reason, 0.0))}
            for reason, count in sorted(total.items())
        },
        # Of the last 800 refusals of each worker, so none is counted too high; the field is older than that.
        "addresses": [
            {"address": address, "refusals": count, "at_most_too_high_by": 0}
            for address, count in addresses.most_common(SHOWN)
        ],
        "recent": recent[: 2 * SHOWN],
    }


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def commit() -> str:
    """The commit that runs, where the host tells; else "unknown"."""
    return next((os.environ[name] for name in COMMIT_VARIABLES if os.environ.get(name)), "unknown")


def text(services: Services, counters: Metrics) -> bytes:
    """Every metric in Prometheus's text format, version 0.0.4: the counters of all workers, and the sizes of now."""
    return generate_latest(SimpleNamespace(collect=lambda: chain(counters.collect(), metrics(services))))


def disk_of_uploads(settings: Settings) -> tuple[float, float]:
    """How many MB are free on it and what share is used; a disk whose state can't be read counts as full."""
    try:
        found = shutil.disk_usage(settings.upload_dir or tempfile.gettempdir())
    except OSError:
        return 0.0, 1.0
    return found.free / MB, 1 - found.free / found.total if found.total else 0.0


def metrics(services: Services) -> Iterable[Metric]:
    """Sizes of the whole service now, over all workers."""
    processes = services.processes()
    budget = services.speech.budget
    workers = services.settings.web_concurrency
    weights = {role: weight * MB for role, weight in by_role(processes).items()}
    yield _gauge_by("role", "service_memory_pss_bytes", "Memory by role (PSS)", weights)
    # A worker knows the cost of its own engines only, so the sum of what is there stands for the use.
    limit = budget.limit_mb * workers * MB
    yield Gauge("service_memory_budget_bytes", "Memory budget of the service", limit)
    used = max(budget.used_mb(), sum(process.footprint.pss_mb for process in processes))
    yield Gauge("service_memory_budget_used_bytes", "Memory in use, reservations included", used * MB)
    if group := cgroup.memory_group():
        yield Gauge("service_cgroup_memory_usage_bytes", "The control group's usage", group.usage_bytes)
        if group.limit_bytes is not None:
            yield Gauge("service_cgroup_memory_limit_bytes", "The control group's limit", group.limit_bytes)
    processor = sum(process.cpu_seconds for process in processes)
    yield CounterMetricFamily("service_cpu_seconds", "Processor time of all processes", value=processor)
    with contextlib.suppress(OSError):
        free = free_bytes(services.settings.data_dir)
        yield Gauge("service_data_disk_free_bytes", "Left on the disk jobs are kept on (DATA_DIR)", free)
    _, share = disk_of_uploads(services.settings)
    yield Gauge("service_disk_used_ratio", "Used share of the disk with the uploads", share)
    yield from _queue(services)
    if services.monitoring is not None:
        starts = services.monitoring.slot.memory.starts
        yield CounterMetricFamily("service_worker_starts", "Web workers started", value=starts)
    yield Gauge("service_start_time_seconds", "When this worker started (Unix time)", services.started_at)
    about = Gauge("service_info", "What runs; always 1", labels=["version", "commit"])
    about.add_metric([__version__, commit()], 1)
    yield about


def _queue(services: Services) -> Iterable[Metric]:
    """The queue, for whoever scales workers; nothing while what keeps it is away."""
    counts = services.job_counts()
    if counts is None:
        return
    yield _gauge_by("state", "jobs", "Jobs that are kept, by state", counts.by_state)
    yield Gauge("jobs_queue_length", "Jobs that wait", counts.by_state["queued"])
    oldest = counts.oldest_waiting_seconds
    yield Gauge("jobs_oldest_waiting_seconds", "How long the oldest waiting job has waited", oldest)
    yield Gauge("jobs_stored_bytes", "Disk space that jobs take", counts.stored_bytes)
    yield Gauge("jobs_stored_limit_bytes", "JOB_DISK_MB", services.settings.job_disk_mb << 20)
    since = counts.oldest_progress_seconds
    stands = "Since the last progress of the running job that made none for longest"
    yield Gauge("jobs_oldest_progress_seconds", stands, since)
    if counts.workers is not None:
        yield Gauge("jobs_workers", "Workers seen in the last 10 s (with CELERY_BROKER_URL)", counts.workers)


def _gauge_by(label: str, name: str, help: str, values: Mapping[str, float]) -> Metric:
    found = Gauge(name, help, labels=[label])
    for value_of_label, value in values.items():
        found.add_metric([value_of_label], value)
    return found
