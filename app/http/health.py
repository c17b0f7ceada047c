"""Whether it is up and what it can do now, for programs and for people. Touches no engine, wakes none."""

import json
import mimetypes
import time
from functools import lru_cache

from flask import Blueprint, Response, current_app, jsonify, request

from .. import __version__
from ..checks import Check, overall
from .headers import as_page
from .hooks import AppResponse, services

health = Blueprint("health", __name__)
page = Blueprint("page", __name__)
# Types are Python's own: the system's tables differ from machine to machine, and would stay with 0.35 MB.
page.record_once(lambda state: mimetypes.knownfiles.clear())


@health.get("/")
def index() -> Response:
    """Name, version and links; for a browser, the page."""
    response = dashboard() if _wants_page() else _about()
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
        links={rule.endpoint: rule.rule for rule in current_app.url_map.iter_rules() if "<" not in rule.rule},
    )


@health.get("/health")
def report() -> Response:
    """Each thing the service needs, and what is wrong with it."""
    own = services()
    uptime_seconds = round(time.time() - own.started_at, 1)
    body, status = _report(own.checks(), uptime_seconds)
    return AppResponse(body, status, content_type="application/json")


@lru_cache(maxsize=2)
def _report(checks: tuple[Check, ...], uptime_seconds: float) -> tuple[str, int]:
    """The body and the status; probers that ask many times a second get the same."""
    status = overall(checks)
    body = {
        "status": status,
        "version": __version__,
        "uptime_seconds": uptime_seconds,
        "checks": {
            check.name: {"status": check.status, "reason": check.reason, "detail": check.detail}
            for check in checks
        },
    }
    return json.dumps(body, ensure_ascii=False) + "\n", 503 if status == "unhealthy" else 200


@health.get("/health/live")
def live() -> Response:
    """The web process answers."""
    return jsonify(status="alive")


@health.get("/health/ready")
def ready() -> tuple[Response, int]:
    """Whether requests can be served; names what can't."""
    checks = services().checks()
    failing = {check.name: check.reason for check in checks if check.reason}
    status = overall(checks)
    body = jsonify(status="ready" if status != "unhealthy" else "not ready", failing=failing)
    return body, 503 if status == "unhealthy" else 200


@page.get("/dashboard")
def dashboard() -> Response:
    """Memory as it goes, health, requests, the queue; a microphone and a voice to try."""
    # A file and no template: nothing is to be filled in, and browsers keep it by its ETag.
    return as_page(current_app.send_static_file("page.html"))


def _wants_page() -> bool:
    """Whether the client would rather have a page than JSON: browsers would, curl and SDKs take anything."""
    kinds = request.accept_mimetypes
    return kinds["text/html"] > kinds["application/json"]
