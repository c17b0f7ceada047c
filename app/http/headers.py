"""What browsers are told: who else may call (CORS), and what a page of ours may do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from flask import Flask, Response

from ..config import Settings, split_list

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
# An answer is data; what a browser makes of it may load nothing, run nothing, and stand in no frame.
NOTHING = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
# The page: what is beside it, what it made itself (recordings, downloads), and no line of code inside it.
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NOT_ELSEWHERE = ("Cross-Origin-Resource-Policy", "same-origin")
BY_HTTPS_ONLY = ("Strict-Transport-Security", "max-age=31536000")
EXPOSED = (
    "X-Request-ID", "Retry-After", "Server-Timing", "ETag", "Location", "Preference-Applied", "X-Should-Retry",
    "X-Audio-Duration", "X-Cache", "X-TTS-Engine", "X-TTS-Fallback", "X-TTS-Skipped", "X-TTS-Voice",
    "X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests",
)  # fmt: skip
PREFLIGHT_SECONDS = 7200  # Chromium remembers no longer


class Answer(Response):
    """
    A response with headers that go out as they are.

    Werkzeug looks at each header it is given; five of them took 12 of a health check's 90 µs.
    """

    more: Sequence[tuple[str, str]] = ()

    def get_wsgi_response(
        self, environ: WSGIEnvironment
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """The body, the status, and all headers."""
        body, status, headers = super().get_wsgi_response(environ)
        headers += self.more
        return body, status, headers


class Protection:
    """What a response tells a browser not to do; one per app."""

    def __init__(self, settings: Settings) -> None:
        self._data = (
            (NO_SNIFFING, NOTHING) if settings.cors_origins else (NO_SNIFFING, NOTHING, NOT_ELSEWHERE)
        )

    def headers(self, response: Answer, scheme: str) -> Sequence[tuple[str, str]]:
        """What *response* is to have; what `as_page` gave it stays."""
        headers = response.more or self._data
        return (*headers, BY_HTTPS_ONLY) if scheme == "https" else headers


def as_page(response: Response, policy: str = PAGE) -> Response:
    """*response* as something people look at, with what *policy* lets it load."""
    cast(Answer, response).more = (
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
