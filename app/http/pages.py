"""What browsers get: the page at /dashboard, the service's description, what pages may do, and whose may call."""

from __future__ import annotations

import mimetypes
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, jsonify, make_response, render_template

from ..config import Settings, split_list
from .hooks import NO_SNIFFING, NOT_ELSEWHERE, AppResponse

# The page: what is beside it, what it made itself (recordings, downloads), and no line of code inside it.
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
EXPOSED = (
    "X-Request-ID", "Retry-After", "Server-Timing", "ETag", "Location", "Preference-Applied", "X-Should-Retry",
    "X-Audio-Duration", "X-Model", "X-Cache", "X-TTS-Engine", "X-TTS-Fallback", "X-TTS-Skipped", "X-TTS-Voice",
    "X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests", "Accept-Ranges", "Content-Range",
)  # fmt: skip
PREFLIGHT_SECONDS = 7200  # Chromium remembers no longer
NO_SCRIPTS = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

page = Blueprint("page", __name__)
openapi = Blueprint("openapi", __name__)
# Types are Python's own: the system's tables differ from machine to machine, and would stay with 0.35 MB.
page.record_once(lambda state: mimetypes.knownfiles.clear())


@page.get(
    "/dashboard", summary="The page: memory, health, requests and queue; transcription and speech to try"
)
def dashboard() -> Response:
    # A file and no template: nothing is to be filled in, and browsers keep it by its ETag.
    return as_page(current_app.send_static_file("page.html"))


@openapi.get("/openapi.json", summary="This description, for programs")
def document() -> Response:
    return jsonify(_described())


@openapi.get("/docs", endpoint="page", summary="This description, for people")
def description() -> Response:
    return as_page(make_response(render_template("docs.html", document=_described())), NO_SCRIPTS)


def _described() -> dict[str, Any]:
    # Imported here: 0.3 MB that a worker nobody asks for it does not carry.
    from .operations import describe

    return describe(current_app)


def as_page(response: Response, policy: str = PAGE) -> Response:
    """*response* as something people look at, with what *policy* lets it load."""
    cast(AppResponse, response).more = (
        NO_SNIFFING,
        ("Content-Security-Policy", policy),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Permissions-Policy", "microphone=(self), camera=(), geolocation=()"),
        NOT_ELSEWHERE,
    )
    return response


def allow_origins(app: Flask, settings: Settings) -> None:
    """Have the pages of CORS_ORIGINS call this service; no cookies, there are none."""
    if not settings.cors_origins:
        return
    from flask_cors import CORS  # 1 MB that a service without it does not carry

    origins = split_list(settings.cors_origins)
    CORS(
        app,
        origins="*" if "*" in origins else origins,
        send_wildcard="*" in origins,
        always_send=False,  # who has no Origin is no browser's page
        allow_headers="*",  # what a preflight asks for: OpenAI's client alone has a dozen of its own
        expose_headers=EXPOSED,
        max_age=PREFLIGHT_SECONDS,
    )
