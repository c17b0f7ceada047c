"""What monitoring tells when somebody asks: performance, production and security."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from typing import TYPE_CHECKING

from .. import __version__
from ..config import Settings
from ..memory import MB
from .metrics import FACTOR_BUCKETS, LATENCY_BUCKETS, Counts, of, quantile
from .monitoring import Monitoring

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
    total = monitoring.metrics.total()
    slow = _last(monitoring, "slow", seconds, "method", "route", "status", "seconds", "request_id")
    return {
        "window_seconds": seconds,
        "since": _iso(since),
        "in_flight": round(total["http_requests_in_progress",][0]),
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
            for (task,), spread in of(window, "speech_real_time_factor_ratio").items()
        },
        "slowest": sorted(slow, key=lambda one: -float(str(one["seconds"])))[:SHOWN],
    }


def _timing(window: Counts, method: str, route: str, since: float) -> Report:
    count = _by_route(window).get((method, route), 0.0)
    spread = window.get(("http_request_duration_seconds", method, route), [0.0])
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
    for (method, route, _), (count,) in of(counts, "http_requests_total").items():
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
        "engine_exits_1h": {
            " ".join(labels): round(count)
            for labels, (count,) in of(hour, "engine_exits_total").items()
            if count
        },
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
    return sum(
        count for (_, _, status), (count,) in of(counts, "http_requests_total").items() if status >= "500"
    )


def error_rate(counts: Counts) -> float:
    """The share of requests answered with a status of 500 or more; 0 without requests."""
    return _errors(counts) / max(1.0, sum(count for _, (count,) in of(counts, "http_requests_total").items()))


def _slowest_route(counts: Counts) -> float:
    """The largest 95th percentile of any route."""
    spreads = of(counts, "http_request_duration_seconds").values()
    return max((quantile(0.95, spread, LATENCY_BUCKETS) or 0.0 for spread in spreads), default=0.0)


def _in_trouble(counts: Counts) -> int:
    exits = of(counts, "engine_exits_total").items()
    return round(sum(count for (_, reason), (count,) in exits if reason in TROUBLE))


def security(monitoring: Monitoring, seconds: float) -> Report:
    """Refused requests: the reasons and the addresses."""
    total = of(monitoring.metrics.total(), "http_refusals_total")
    window, since = monitoring.windows.last(seconds)
    refused = monitoring.slot.memory.records("addresses", time.time() - seconds)
    addresses = Counter(record.content for record in refused)
    recent = _last(monitoring, "refusals", seconds, "reason", "detail", "address", "route", "request_id")
    return {
        "window_seconds": seconds,
        "since": _iso(since),
        "refusals": {
            reason: {
                "total": round(count),
                "window": round(window.get(("http_refusals_total", reason), [0.0])[0]),
            }
            for (reason,), (count,) in sorted(total.items())
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


def disk_of_uploads(settings: Settings) -> tuple[float, float]:
    """How many MB are free on it and what share is used; a disk whose state can't be read counts as full."""
    try:
        found = shutil.disk_usage(settings.upload_dir or tempfile.gettempdir())
    except OSError:
        return 0.0, 1.0
    return found.free / MB, 1 - found.free / found.total if found.total else 0.0
