"""
How the service is: health, memory, metrics, and what the page shows of them in one answer. Wakes no engine.

Reports are imported by the views: who never asks for one does without, and without the 1.5 MB of prometheus_client.
"""

from __future__ import annotations

import gc
import json
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, g, jsonify, request

from .. import __version__, cgroup
from .. import memory as room
from ..checks import Check, overall
from ..errors import InvalidRequest, NotFound
from . import params
from .hooks import AppResponse, services
from .pages import dashboard
from .params import Flag, Many, Text
from .requests import receive_fields

if TYPE_CHECKING:
    from ..monitoring.monitoring import Monitoring
    from ..services import Services

health = Blueprint("health", __name__)
memory = Blueprint("memory", __name__)
monitoring = Blueprint("monitoring", __name__)

UNLOAD = (Flag("unload", "end the engines that nobody is using, too", False),)
WINDOW = (Text("window", "how far back: a time up to 1h, such as 30s, 5m or 1h"),)
WITH = Many("with", "what else, besides health and memory", of=("requests", "history"))
STATUS = (WITH, *WINDOW)
NOTE = (
    "Memory optimizer disabled: Python's garbage collector runs as it is, and speech runs in processes that "
    "give their memory back by ending. PSS counts a page shared by n processes as 1/n, so it adds up."
)
DURATION = re.compile(r"([0-9]{1,4})([smh])")
UNITS = {"s": 1, "m": 60, "h": 3600}
LONGEST_SECONDS = 3600
JOBS_SHOWN = 5
TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


@health.get("/", summary="Name, version and links; for a browser, the page")
def index() -> Response:
    kinds = request.accept_mimetypes  # browsers would rather have a page, curl and SDKs take anything
    response = dashboard() if kinds["text/html"] > kinds["application/json"] else _about()
    response.vary.add("Accept")
    return response


def _about() -> Response:
    disabled = services().settings.disable_local_whisper
    return jsonify(
        name="pam-voice",
        version=__version__,
        status=overall(services().checks()),
        memory_optimization={
            "mode": "memory-optimized",
            "optimizer": "disabled",
            "garbage_collection": "python built-in",
            "local_whisper": "disabled" if disabled else "enabled",
        },
        links={
            rule.endpoint: rule.rule
            for rule in current_app.url_map.iter_rules()
            if "<" not in rule.rule and "_alias." not in rule.endpoint
        },
    )


@health.get("/health", summary="Each thing the service needs, and what is wrong with it")
def report() -> Response:
    found = services()
    body, status = _report(found.checks(), _uptime_seconds(found))
    return AppResponse(body, status, content_type="application/json")


def _uptime_seconds(own: Services) -> float:
    return round(time.time() - own.started_at, 1)


@lru_cache(maxsize=2)
def _report(checks: tuple[Check, ...], uptime_seconds: float) -> tuple[str, int]:
    """The body and the status; probers that ask many times a second get the same."""
    body = _health(checks, uptime_seconds)
    return json.dumps(body, ensure_ascii=False) + "\n", 503 if body["status"] == "unhealthy" else 200


def _health(checks: tuple[Check, ...], uptime_seconds: float) -> dict[str, object]:
    return {
        "status": overall(checks),
        "version": __version__,
        "uptime_seconds": uptime_seconds,
        "checks": {
            check.name: {"status": overall([check]), "reason": check.reason, "detail": check.detail}
            for check in checks
        },
    }


@health.get("/health/live", summary="The web process answers")
def live() -> Response:
    return jsonify(status="alive")


@health.get("/health/ready", summary="Whether requests can be served, and why not")
def ready() -> tuple[Response, int]:
    checks = services().checks()
    failing = {check.name: check.reason for check in checks if check.reason}
    status = overall(checks)
    body = jsonify(status="ready" if status != "unhealthy" else "not ready", failing=failing)
    return body, 503 if status == "unhealthy" else 200


@health.get(
    "/api/status",
    summary="All that the page shows, in one answer: health, memory, and on request metrics, jobs, samples",
    query=STATUS,
)
def status() -> Response:
    wanted = WITH.read(request.args)
    found: dict[str, Any] = {
        "health": _health(services().checks(), _uptime_seconds(services())),
        "memory": _sizes(),
    }
    watched = services().monitoring
    if "requests" in wanted:
        found |= {"performance": None, "production": None, "jobs": []}
        if watched is not None:
            from ..monitoring import reports

            found["performance"] = reports.performance(watched, _seconds("5m"))
            found["production"] = reports.production(services(), watched)
        found["jobs"] = _newest_jobs()
    if "history" in wanted:
        seconds = _seconds("1h")
        found["history"] = [] if watched is None else _samples(watched, seconds)
    return jsonify(found)


def _newest_jobs() -> list[dict[str, Any]] | None:
    """None while what keeps the jobs is away. Where there never was one, nothing is loaded that would keep them."""
    counts = services().job_counts()
    if counts is None or not any(counts.by_state.values()):
        return None if counts is None else []
    from .responses import job_dict

    jobs = services().jobs
    found = jobs.page(g.get("key_id", ""), state="", before="", limit=JOBS_SHOWN)
    return [job_dict(job, jobs) for job in found]


@memory.get(
    "/api/memory",
    summary="The machine, the service's processes, its container, the budget and the garbage collector, in MB",
)
@memory.get("/memory")
def sizes() -> Response:
    return jsonify(_sizes())


def _sizes() -> dict[str, object]:
    machine, own = room.system(), room.footprint()
    processes = services().processes()
    group = cgroup.memory_group()
    return {
        "system": _rounded(**machine._asdict()),
        "process": {**_rounded(**own._asdict()), "percent": round(100 * own.rss_mb / machine.total_mb, 2)},
        "service": {
            **_rounded(
                pss_mb=sum(process.footprint.pss_mb for process in processes),
                budget_mb=services().speech.budget.limit_mb * services().settings.web_concurrency,
            ),
            "processes": [
                {"pid": pid, "role": role, **_rounded(rss_mb=weight.rss_mb, pss_mb=weight.pss_mb)}
                for pid, role, weight, _ in processes
            ],
        },
        "cgroup": {
            "limit_mb": round(group.limit_bytes / 2**20, 1) if group.limit_bytes else None,
            "usage_mb": round(group.usage_bytes / 2**20, 1),
            "oom_kills": group.oom_kills,
        }
        if group
        else None,
        "budget": _budget(),
        "gc": {
            "counts": gc.get_count(),
            "collections": [generation["collections"] for generation in gc.get_stats()],
            "frozen": gc.get_freeze_count(),
        },
        "note": NOTE,
    }


def _budget() -> dict[str, object]:
    speech = services().speech
    limit_mb, reserve_mb, used_mb = speech.budget.limit_mb, speech.budget.reserve_mb, speech.budget.used_mb()
    available_mb = max(0.0, limit_mb - reserve_mb - used_mb)
    figures = _rounded(limit_mb=limit_mb, reserve_mb=reserve_mb, used_mb=used_mb, available_mb=available_mb)
    engines = [engine.state()._asdict() for engine in speech.engines]
    return {**figures, "engines": [{**engine, "pss_mb": round(engine["pss_mb"], 1)} for engine in engines]}


@memory.post(
    "/api/memory/optimize",
    summary="Collect garbage and trim the heap; unload also ends the engines nobody is using",
    json=UNLOAD,
)
@memory.post("/memory/optimize")
def optimize() -> Response:
    unload = params.read(UNLOAD, receive_fields(example='{"unload": true}'))["unload"]
    before = sum(process.footprint.pss_mb for process in services().processes())
    unloaded = services().speech.unload() if unload else 0
    collected = room.give_back()
    after = sum(process.footprint.pss_mb for process in services().processes())
    return jsonify(
        message="Garbage collected, free heap returned to the system"
        + (f", {unloaded} engine{'' if unloaded == 1 else 's'} ended" if unload else ""),
        objects_collected=collected,
        engines_unloaded=unloaded,
        **_rounded(before_mb=before, after_mb=after, freed_mb=max(0.0, before - after)),
    )


def _rounded(**megabytes: float) -> dict[str, float]:
    return {name: round(value, 1) for name, value in megabytes.items()}


@monitoring.get("/metrics", summary="Every metric of every worker, as Prometheus reads them")
def metrics() -> Response:
    watched = _watched()
    from ..monitoring import exposition

    return Response(exposition.text(services(), watched), content_type=TEXT_FORMAT)


@monitoring.get("/api/monitoring/performance", summary="Counts, rates and percentiles by route", query=WINDOW)
def performance() -> Response:
    watched = _watched()
    from ..monitoring import reports

    return jsonify(reports.performance(watched, _seconds("5m")))


@monitoring.get(
    "/api/monitoring/production", summary="Uptime, version, error rates, recent errors and alerts"
)
def production() -> Response:
    watched = _watched()
    from ..monitoring import reports

    return jsonify(reports.production(services(), watched))


@monitoring.get("/api/monitoring/security", summary="Refused requests: reasons, addresses", query=WINDOW)
def security() -> Response:
    watched = _watched()
    from ..monitoring import reports

    return jsonify(reports.security(watched, _seconds("1h")))


@monitoring.get("/api/memory/history", summary="Samples of the service's memory, oldest first", query=WINDOW)
def history() -> Response:
    seconds = _seconds("1h")
    return jsonify(window_seconds=seconds, samples=_samples(_watched(), seconds))


def _samples(watched: Monitoring, seconds: float) -> list[dict[str, object]]:
    return [
        {
            "time": round(sample.time, 1),
            "pss_mb": sample.pss_mb,
            "total_mb": round(sum(sample.pss_mb.values()), 1),
            "cgroup_mb": sample.cgroup_mb,
            "sessions": sample.sessions,
        }
        for sample in watched.history.samples(seconds)
    ]


def _watched() -> Monitoring:
    found = services().monitoring
    if found is None:
        raise NotFound("monitoring is off (MONITORING=false); set MONITORING=true")
    return found


def _seconds(default: str) -> float:
    """What `?window=` asks for."""
    text = request.args.get("window", default)
    match = DURATION.fullmatch(text)
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_SECONDS:
        raise InvalidRequest("window: a time up to 1h, such as 30s, 5m or 1h", "window")
    return float(seconds)
