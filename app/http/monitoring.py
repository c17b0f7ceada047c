"""
Metrics: for Prometheus, and as JSON for people.

The rooms behind are imported by the views: with MONITORING=false the worker does without their 1.5 MB.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request

from ..errors import InvalidRequest, NotFound
from .hooks import services

if TYPE_CHECKING:
    from ..monitoring import monitoring as room

monitoring = Blueprint("monitoring", __name__)

WINDOW = re.compile(r"([0-9]{1,4})([smh])")
UNITS = {"s": 1, "m": 60, "h": 3600}
LONGEST_SECONDS = 3600
TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


@monitoring.get("/metrics")
def metrics() -> Response:
    """Every metric of every worker, as Prometheus reads them."""
    watched = _watched()
    from ..monitoring import exposition

    return Response(exposition.text(services(), watched.metrics), content_type=TEXT_FORMAT)


@monitoring.get("/api/monitoring/performance")
def performance() -> Response:
    """Counts, rates and percentiles by route; `?window=5m`."""
    watched = _watched()
    from ..monitoring import reports

    return jsonify(reports.performance(watched, window()))


@monitoring.get("/api/monitoring/production")
def production() -> Response:
    """Uptime, version, error rates, recent errors and alerts."""
    watched = _watched()
    from ..monitoring import reports

    return jsonify(reports.production(services(), watched))


@monitoring.get("/api/monitoring/security")
def security() -> Response:
    """Refused requests: the reasons and the addresses; `?window=1h`."""
    watched = _watched()
    from ..monitoring import reports

    return jsonify(reports.security(watched, window("1h")))


@monitoring.get("/api/memory/history")
def history() -> Response:
    """Samples of the service's memory, oldest first; `?window=1h`."""
    seconds = window("1h")
    return jsonify(
        window_seconds=seconds,
        samples=[
            {
                "time": round(sample.time, 1),
                "pss_mb": sample.pss_mb,
                "total_mb": round(sum(sample.pss_mb.values()), 1),
                "cgroup_mb": sample.cgroup_mb,
            }
            for sample in _watched().history.samples(seconds)
        ],
    )


def _watched() -> room.Monitoring:
    found = services().monitoring
    if found is None:
        raise NotFound("monitoring is off (MONITORING=false); set MONITORING=true")
    return found


def window(default: str = "5m") -> float:
    """The seconds `?window=` asks for."""
    text = request.args.get("window", default)
    match = WINDOW.fullmatch(text)
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_SECONDS:
        raise InvalidRequest("window: a time up to 1h, such as 30s, 5m or 1h", "window")
    return float(seconds)
