"""
What goes on around every view: the request's id, its count and its line in the log, headers for browsers.

And what views need of their surroundings: the services, the caller, and whether the client still waits.
"""

from __future__ import annotations

import logging
import random
import re
import select
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Response, current_app, g, request
from flask.sessions import NullSession, SessionInterface
from flask.wrappers import Request as FlaskRequest
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.routing import Map, MapAdapter, Rule
from werkzeug.wrappers import Request

from .. import logs
from ..access.limits import caller as caller_of
from ..config import Settings
from ..logs import UNMATCHED, RequestRecord

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..monitoring.monitoring import Monitoring
    from ..services import Services
    from .params import Field

    Table = Iterable[Field]

log = logging.getLogger("app.requests")

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
ONE_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII)

MOST_ORIGINS = 64  # that are logged: a client can send any
PLAIN_HEADERS = ["Content-Type", "Content-Length"]
NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
# An answer is data; what a browser makes of it may load nothing, run nothing, and stand in no frame.
NOTHING = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
NOT_ELSEWHERE = ("Cross-Origin-Resource-Policy", "same-origin")
BY_HTTPS_ONLY = ("Strict-Transport-Security", "max-age=31536000")


class AppResponse(Response):
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

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """The headers, corrected where there is something to correct: Werkzeug copies and searches them, 4 µs."""
        if self.status_code == 200 and [name for name, _ in self.headers] == PLAIN_HEADERS:
            return self.headers
        return super().get_wsgi_headers(environ)

    def make_conditional(
        self,
        request_or_environ: WSGIEnvironment | Request,
        accept_ranges: bool | str = False,
        complete_length: int | None = None,
    ) -> AppResponse:
        """
        The same response, with the part of it that is asked for (RFC 9110, sections 13 and 14).

        Several parts, parts of a HEAD and what is no range are answered with the whole, as the RFC has it; Werkzeug
        refuses them, and the last 1,000 bytes of 900 too. Its second Date is taken away.
        """
        given = request_or_environ
        environ = given.environ if isinstance(given, Request) else given
        if "HTTP_RANGE" in environ and complete_length:
            found = ONE_RANGE.fullmatch(environ["HTTP_RANGE"])
            first, last = found.groups() if found and environ["REQUEST_METHOD"] == "GET" else ("", "")
            if not (first or last) or (first and last and int(first) > int(last)):
                del environ["HTTP_RANGE"]
            elif not first and int(last) > complete_length:
                environ["HTTP_RANGE"] = "bytes=0-"
        try:
            super().make_conditional(environ, accept_ranges, complete_length)
        except RequestedRangeNotSatisfiable:
            self.close()
            raise
        self.headers.remove("Date")
        return self


class AppRequest(FlaskRequest):
    """A request with its id, and what is counted of it; its blueprints are looked up once, not three times."""

    id, began, received_bytes = "-", 0.0, 0

    @cached_property
    def blueprints(self) -> list[str]:
        """The names of the route's blueprint, and of those it is in."""
        return super().blueprints


class Route(Rule):
    """
    A route with what `operations.py` describes: what it does, and the fields of a form, of JSON or of the query string
    that it takes; *raw* is a recording as the whole body.

    Its URL is built by code that is compiled when `url_for` first asks for it: compiling it for each of 40 routes took
    5 ms of the start, and two of them are ever asked for.
    """

    def __init__(
        self, string: str, *, summary: str = "", form: Table = (), json: Table = (), query: Table = (),
        raw: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(string, **options)
        self.summary, self.form, self.json, self.query, self.raw = summary, form, json, query, raw

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled: list[Callable[..., tuple[str, str]]] = []

        def build(rule: Rule, **values: Any) -> tuple[str, str]:  # Any: what url_for is given
            if not compiled:
                compiled.append(Rule._compile_builder(rule, append_unknown))
            return compiled[0](rule, **values)

        return build


class NoSessions(SessionInterface):
    """No cookies, so no request has a session of its own; Flask's own way to find that out takes 2 µs."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """The session of every request, which keeps nothing."""
        return self._none


def current_request() -> AppRequest:
    """The request of this thread itself, which `request` looks up for each attribute: 0.5 µs."""
    found: AppRequest = request._get_current_object()  # type: ignore[attr-defined]
    return found


def services() -> Services:
    """What lives as long as this worker."""
    found: Services = current_app.extensions["services"]
    return found


def caller() -> str:
    """Whom this request counts for: its key, or the address it came from."""
    return caller_of(g.get("key_id", ""), request.remote_addr)


def client_waits() -> Callable[[], bool]:
    """A function that tells whether the client of this request is still there."""
    connection = request.environ.get("gunicorn.socket")
    if connection is None:  # another server, or a test client: assume so
        return lambda: True
    watch = select.poll()
    watch.register(connection, select.POLLRDHUP)
    return lambda: not watch.poll(0)


def register(app: Flask, settings: Settings) -> None:
    """Give every request an id, every response its headers, and each a line in the log and in the metrics."""
    app.config["UPLOAD_DIR"] = settings.upload_dir or None
    app.config["MAX_UPLOAD_MB"] = settings.max_upload_mb
    app.config["MAX_CONTENT_LENGTH"] = 1 << 20  # what a view reads into memory; recordings have their own
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False  # a redirect to the path without its slash would lose a POST's body
    if settings.trusted_proxies:
        _believe_proxies(app, settings.trusted_proxies)
    app.create_url_adapter = partial(_url_adapter, app.url_map, app.create_url_adapter)  # type: ignore[method-assign]
    app.ensure_sync = lambda func: func  # type: ignore[method-assign] # to see that a view is no coroutine takes 1 µs
    app.request_class, app.response_class, app.session_interface = AppRequest, AppResponse, NoSessions()
    app.url_rule_class = Route  # type: ignore[assignment] # it takes more
    monitoring: Monitoring | None = app.extensions["services"].monitoring
    data = (NO_SNIFFING, NOTHING) if settings.cors_origins else (NO_SNIFFING, NOTHING, NOT_ELSEWHERE)

    refused: set[str] = set()  # origins that were logged

    # One hook each, which is 3 µs.
    @app.before_request
    def begin() -> None:
        current = current_request()
        if monitoring is not None:
            monitoring.metrics.request_began()
        current.began = perf_counter()
        current.id = _id_of(current.environ.get("HTTP_X_REQUEST_ID"))
        logs.request_id.set(current.id)

    @app.after_request
    def end(response: Response) -> Response:
        current = current_request()
        environ = current.environ
        answer = cast(AppResponse, response)
        more = answer.more or data
        if environ["wsgi.url_scheme"] == "https":
            more = (*more, BY_HTTPS_ONLY)
        answer.more = (*more, ("X-Request-ID", current.id))
        if "HTTP_ORIGIN" in environ and "Access-Control-Allow-Origin" not in response.headers:
            _log_refused_origin(environ["HTTP_ORIGIN"], environ.get("HTTP_HOST", ""), refused)
        record = RequestRecord(
            current.method,
            current.url_rule.rule if current.url_rule is not None else UNMATCHED,
            response.status_code,
            current.id,
            received_bytes=int(environ.get("CONTENT_LENGTH") or current.received_bytes),
        )
        if record.status >= 400:
            record.code = g.get("error_code", "") if current.url_rule is not None else ""
            record.path, record.peer = current.path, current.remote_addr
        body = response.response
        if isinstance(body, list):
            record.sent_bytes = sum(map(len, body))  # the header that says so would have to be parsed, 1 µs
            _note(record, current.began, monitoring)
        elif record.status == 101:  # a session, which is no request that takes long
            _note(record, current.began, monitoring)
        else:
            _count_bytes(response, record)
            response.call_on_close(partial(_note, record, current.began, monitoring))
        return response


def _url_adapter(
    routes: Map, by_flask: Callable[[Any], MapAdapter | None], current: Request | None
) -> MapAdapter | None:
    """
    What finds the route of a request, as Flask's own does; that looks for the host twice, and for subdomains: 4 of a
    health check's 52 µs.
    """
    if current is None or "HTTP_UPGRADE" in current.environ:  # a WebSocket has routes of its own
        return by_flask(current)
    environ = current.environ
    root, path, query = (
        environ[name].encode("latin1").decode(errors="replace")
        for name in ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")
    )
    scheme = environ["wsgi.url_scheme"]
    return MapAdapter(routes, _bound_name(current.host), root, "", scheme, path, current.method, query)


@lru_cache(maxsize=64)
def _bound_name(host: str) -> str:
    """*host* as Werkzeug has it in its adapters; BadHost for what no name can be."""
    return Map().bind(host).server_name


def _log_refused_origin(origin: str, host: str, logged: set[str]) -> None:
    """Log, once, an origin whose pages are kept by the browser from reading answers: its author sees no reason."""
    if origin.partition("://")[2] != host and origin not in logged and len(logged) < MOST_ORIGINS:
        logged.add(origin)
        log.warning(
            "a refused origin: %s; if its pages may use this service, add it to CORS_ORIGINS", origin[:200]
        )


def _count_bytes(response: Response, record: RequestRecord) -> None:
    """Count what goes out of a stream while it does."""

    def counted(chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            record.sent_bytes += len(chunk)
            yield chunk

    if (close := getattr(response.response, "close", None)) is not None:
        response.call_on_close(close)  # of a file that is sent: its place is taken here
    response.response = counted(response.iter_encoded())
    # A file's is passed on as it is, and what `call_on_close` was given forgotten.
    response.direct_passthrough = False


def _note(record: RequestRecord, began: float, monitoring: Monitoring | None) -> None:
    record.seconds = perf_counter() - began
    if monitoring is not None:
        monitoring.record_request(record)
    logs.log_request(record)
    logs.request_id.set("-")  # the thread lives on


def _believe_proxies(app: Flask, how_many: int) -> None:
    """
    Take the address from what that many routers in front have added to X-Forwarded-For; what stands further left,
    the client may have written. The scheme is what the nearest says: routers replace that header.

    The host is that of `Host`, which routers pass on; X-Forwarded-Host they leave as a client sends it.
    """
    from werkzeug.middleware.proxy_fix import ProxyFix

    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=how_many, x_proto=1)  # type: ignore[method-assign]


def _id_of(given: str | None) -> str:
    """
    The id a request brings, if it is one; else a new one. It is no secret: asking the system for randomness
    lets go of the interpreter's lock, and with other threads waiting for that costs 20 µs.
    """
    return given if given and ACCEPTABLE_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
