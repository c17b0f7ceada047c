"""What browsers are told: who else may call (CORS), and what a page of ours may do."""

from __future__ import annotations

from flask import Flask, Response

from ..config import ConfigError, Settings

# An answer is data; what a browser makes of it may load nothing, run nothing, and stand in no frame.
NOTHING = "default-src 'none'; frame-ancestors 'none'"
# The page: what is beside it, what it made itself (recordings, downloads), and no line of code inside it.
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_PERMISSIONS = "microphone=(self), camera=(), geolocation=(), payment=(), usb=()"
ALWAYS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
]
A_YEAR = "max-age=31536000"
EXPOSED = (
    "X-Request-ID", "Retry-After", "Server-Timing", "ETag", "Location", "Preference-Applied", "X-Should-Retry",
    "X-Audio-Duration", "X-Cache", "X-TTS-Engine", "X-TTS-Fallback", "X-TTS-Voice",
    "X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests",
)  # fmt: skip
PREFLIGHT_SECONDS = 7200  # Chromium remembers no longer


class Protection:
    """Puts the headers of a response that tell a browser what not to do; one per app."""

    def __init__(self, settings: Settings) -> None:
        self._data = [*ALWAYS, ("Content-Security-Policy", NOTHING)]
        if not settings.cors_origins:
            self._data.append(("Cross-Origin-Resource-Policy", "same-origin"))

    def protect(self, response: Response, *, secure: bool) -> None:
        """Add them; a Content-Security-Policy the view has set stays. *secure*: it came by https."""
        headers = response.headers
        if response.mimetype == "text/html":
            headers.extend(ALWAYS)
            headers.setdefault("Content-Security-Policy", PAGE)
            headers.setdefault("Permissions-Policy", PAGE_PERMISSIONS)
        else:
            headers.extend(self._data)
        if secure:
            headers["Strict-Transport-Security"] = A_YEAR


def allow_origins(app: Flask, settings: Settings) -> None:
    """Have the pages of CORS_ORIGINS call this service; no cookies, there are none."""
    if not settings.cors_origins:
        return
    from flask_cors import CORS  # 0.3 MB that a service without it does not carry

    origins = [origin.strip().rstrip("/") for origin in settings.cors_origins.split(",")]
    for origin in origins:
        _check(origin)
    CORS(
        app,
        origins="*" if "*" in origins else origins,
        send_wildcard="*" in origins,
        always_send=False,  # who has no Origin is no browser's page
        allow_headers="*",  # what a preflight asks for: OpenAI's client alone has a dozen of its own
        expose_headers=EXPOSED,
        max_age=PREFLIGHT_SECONDS,
    )


def _check(origin: str) -> None:
    """ConfigError unless *origin* is one, or the asterisk: flask-cors takes other signs for a pattern."""
    from urllib.parse import urlsplit

    parts = urlsplit(origin)
    whole = parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}"
    if origin != "*" and not (whole and parts.hostname and not set(origin) & set("*\\]?$^[()@")):
        raise ConfigError(f"CORS_ORIGINS: {origin!r} is no origin such as https://app.example.com, nor *")
