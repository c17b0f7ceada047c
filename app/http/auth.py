"""
The guard: who asks, whether they are let in, and whether they may have more. Before the body is read.

With keys set, everything needs one but what stands in OPEN: also paths that nobody serves, so that a stranger
does not learn which there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask, Response, g, request

from ..access import Access
from ..errors import Unauthorized
from .hooks import caller

VOICE = "/api/v1/pam/voice"
PAGES = frozenset(("/", "/dashboard", "/static/<path:filename>"))
HEALTH = frozenset(("/health", "/health/live", "/health/ready"))
CATALOGUES = frozenset(("/v1/models", "/v1/models/<path:name>", "/v1/audio/models", "/v1/audio/voices"))
DOCUMENTS = frozenset(("/docs", "/openapi.json"))
OPEN = PAGES | HEALTH | CATALOGUES | DOCUMENTS
# What scrapes, probes and shows the service would use up what RATE_LIMIT leaves for work; and whoever looks for the
# cause of many 429s must not get one.
LOOKS = frozenset((
    "/metrics", "/api/status", "/api/memory", "/memory", "/api/memory/history", "/api/monitoring/performance",
    "/api/monitoring/production", "/api/monitoring/security",
))  # fmt: skip
# What becomes a WebSocket; the keys of POST /v1/realtime/client_secrets are for these alone.
SOCKETS = frozenset(("/v1/realtime", f"{VOICE}/live"))
SUBPROTOCOL = "openai-insecure-api-key."  # a browser's WebSocket has no other place for its key
UNCOUNTED = PAGES | HEALTH | LOOKS
# What makes or hears audio, when it is posted to; the test speaks when it is asked for by GET, too.
AUDIO = frozenset((
    VOICE, f"{VOICE}/transcribe", f"{VOICE}/speak", f"{VOICE}/test", f"{VOICE}/jobs",
    "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/audio/speech",
))  # fmt: skip
SPEAKS_WHEN_READ = f"{VOICE}/test"


def register(app: Flask, access: Access) -> None:
    """Stand before every view, where there is anything to ask."""
    if not access.guards:
        return

    @app.before_request
    def guard() -> None:
        if request.method == "OPTIONS":  # a browser asks without a key whether it may ask with one
            return
        rule = _usual(request.url_rule.rule) if request.url_rule is not None else ""
        g.key_id = access.keys.find(presented()) if access.keys else ""
        if rule in SOCKETS and not g.key_id and (ticket := access.tickets.find(presented())):
            g.key_id = ticket.key_id
        is_open = rule in OPEN and request.method in ("GET", "HEAD")
        refused = bool(access.keys) and not g.key_id and not is_open
        if access.rates is not None and (refused or rule not in UNCOUNTED):  # guessing is limited, too
            g.rate_limit = access.rates.count(caller())
        if refused:
            wrong = "the API key is not valid" if any(presented()) else "an API key is needed"
            raise Unauthorized(f"{wrong}; send one as Authorization: Bearer KEY, or as X-API-Key: KEY")
        if (rule in AUDIO and (request.method == "POST" or rule == SPEAKS_WHEN_READ)) or rule in SOCKETS:
            access.allowance.check(caller())

    if access.rates is not None:

        @app.after_request
        def tell_rate_limit(response: Response) -> Response:
            if (status := g.get("rate_limit")) is not None:
                response.headers["X-RateLimit-Limit-Requests"] = str(status.limit)
                response.headers["X-RateLimit-Remaining-Requests"] = str(status.remaining)
            return response


def _usual(rule: str) -> str:
    """OpenAI's own form of a route that is also there under `/openai`, and without `/v1`."""
    rule = rule.removeprefix("/openai")
    return f"/v1{rule}" if rule.startswith(("/audio/", "/models", "/realtime")) else rule


def presented() -> Iterator[str]:
    """The keys the request brings: OpenAI's clients send the first header, others the second, browsers the third."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        yield credentials.strip()
    if key := request.headers.get("X-API-Key", "").strip():
        yield key
    for one in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if one.strip().startswith(SUBPROTOCOL):
            yield one.strip().removeprefix(SUBPROTOCOL)
