"""What browsers are told: who else may call (CORS), and what a page of ours may do."""

from __future__ import annotations

from typing import cast

from flask import Flask, Response

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
