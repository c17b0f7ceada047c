"""
One line for each event, to standard output: key=value text or JSON, with the request's id, safe to read.

Errors go to Sentry and traces to OpenTelemetry too, where they are set up; elsewhere neither is even imported.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from . import __version__
from .config import ConfigError, Settings

if TYPE_CHECKING:
    from flask import Flask

# The id of the request this thread answers, for lines from rooms that know nothing of requests.
request_id: ContextVar[str] = ContextVar("request_id", default="-")

SENTRY = "sentry-sdk[flask]"
OPENTELEMETRY = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http opentelemetry-instrumentation-flask"
UNMATCHED = "unmatched"  # the route of every path nobody serves

_requests = logging.getLogger("app.requests")
_traces = logging.Formatter()


@dataclass(slots=True, eq=False, repr=False)  # what nobody asks for takes time at the start
class RequestRecord:
    """A request and how it was answered. *code* is the error's, empty where there is none."""

    method: str
    route: str
    status: int
    request_id: str
    seconds: float = 0.0
    received_bytes: int = 0
    sent_bytes: int = 0
    code: str = ""
    path: str = ""
    peer: str | None = None


class Text(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO app.requests request_id=… method=GET route=/health ...`, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of *record*, its exception included."""
        said = record.getMessage()
        if record.exc_info:
            said = f"{said}\n{_traces.formatException(record.exc_info)}"
        return self.line(record.created, record.levelname, record.name, said)

    def line(self, created: float, level: str, logger: str, said: str) -> str:
        """What could end the line, move the cursor or reorder the text is escaped."""
        line = f"{_when(created)} {level} {logger} request_id={request_id.get()} {said}"
        return line if line.isprintable() else escaped(line)


class Json(Text):
    """The same as an object; JSON's own rules keep it on one line."""

    def line(self, created: float, level: str, logger: str, said: str) -> str:
        """The object; an exception is a part of the message."""
        fields = {
            "time": _when(created),
            "level": level.lower(),
            "logger": logger,
            "request_id": request_id.get(),
            "message": said,
        }
        line = json.dumps(fields, ensure_ascii=False)
        # JSON leaves these as they are, and its own way to escape them is another than Python's.
        return line if line.isprintable() else json.dumps(fields)


def _when(created: float) -> str:
    return f"{_second(int(created))}.{int(created % 1 * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))


def escaped(text: str) -> str:
    r"""*text* with what can't be printed as \uXXXX: line ends, terminal controls, direction marks."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode-escape", "surrogatepass").decode()
        for letter in text
    )


class Lines(logging.Handler):
    """
    Writes whole lines in one call of the system, so neither threads nor workers need a lock for it.

    `StreamHandler` holds one while it writes; under load the other threads wait for it. Such a call lets go of the
    interpreter's lock, and among busy threads to get it back takes 25 of a health check's 290 µs: while several
    requests are answered, their lines are deferred to the end of the main loop's turn.
    """

    deferring = False  # whether `write_deferred` will be called soon

    def __init__(self, formatter: Text, descriptor: int) -> None:
        super().__init__()
        self.lines, self._descriptor = formatter, descriptor
        self.deferred: deque[str] = deque()
        self.setFormatter(formatter)

    def createLock(self) -> None:
        """Make none: a line is one call of the system."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit *record* if it passes the filters; Python 3.13's own method needs a lock."""
        passed = bool(self.filter(record))
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line."""
        try:
            self.write(self.format(record))
        except Exception:
            self.handleError(record)

    def write(self, *lines: str) -> None:
        """Write what was deferred, and then *lines*; a log nobody reads is no reason to fail."""
        earlier = []
        try:
            while self.deferred:
                earlier.append(self.deferred.popleft())
        except IndexError:
            pass  # another thread writes the rest
        left = "".join([f"{line}\n" for line in (*earlier, *lines)]).encode(errors="backslashreplace")
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            return


def log_request(request: RequestRecord) -> None:
    """
    Log a request that was answered.

    Past `logging` where the output is ours: a record, and all that is asked on its way, took 16 µs of a
    request's 300.
    """
    if not _requests.isEnabledFor(logging.INFO):
        return
    said = (
        f"method={request.method} route={request.route} status={request.status} ms={request.seconds * 1000:.1f} "
        f"in={request.received_bytes} out={request.sent_bytes}{request.code and f' code={request.code}'}"
    )
    output = _output()
    if output is None:
        _requests.info("%s", said)
        return
    line = output.lines.line(time.time(), "INFO", "app.requests", said)
    if output.deferring:
        output.deferred.append(line)
    else:
        output.write(line)


def write_deferred(*, more: bool) -> None:
    """Write the lines of requests that have ended; they are deferred from now on if *more* calls will follow."""
    output = _output()
    if output is not None:
        output.deferring = more
        if output.deferred:
            output.write()


def _output() -> Lines | None:
    output = logging.root.handlers[0] if logging.root.handlers else None
    return output if isinstance(output, Lines) else None


def begin(settings: Settings) -> None:
    """From now on this process logs to standard output."""
    formatter = {"text": Text, "json": Json}[settings.log_format]()
    output = Lines(formatter, sys.stdout.fileno())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[output], force=True)


def adopt(logger: logging.Logger) -> None:
    """
    Have a logger with an output of its own write like everyone.

    gunicorn's setting for it, `logconfig_dict`, makes it put together an access log line that nobody reads.
    """
    logger.handlers.clear()
    logger.propagate = True


def begin_telemetry(app: Flask, settings: Settings) -> None:
    """Errors to Sentry, traces to OpenTelemetry, where they are set up; ConfigError: packages are missing."""
    for problem in missing_packages(settings):
        raise ConfigError(problem)
    if settings.sentry_dsn:
        _begin_sentry(settings)
    if settings.otel_exporter_otlp_endpoint:
        _begin_opentelemetry(app)


def _begin_sentry(settings: Settings) -> None:
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        release=__version__,
        send_default_pii=False,
        # Recordings, texts and transcripts are in bodies and in local variables.
        max_request_body_size="never",
        include_local_variables=False,
        traces_sample_rate=0.0,
    )


def _begin_opentelemetry(app: Flask) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = Resource.create({"service.name": "pam-voice", "service.version": __version__})
    provider = TracerProvider(resource=about)
    # The exporter reads OTEL_EXPORTER_OTLP_ENDPOINT and its kin itself.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument_app(app)


def missing_packages(settings: Settings) -> Iterator[str]:
    """A sentence for each of *settings* whose packages are not installed."""
    from importlib.metadata import PackageNotFoundError, version

    for name, value, packages in (
        ("SENTRY_DSN", settings.sentry_dsn, SENTRY),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", settings.otel_exporter_otlp_endpoint, OPENTELEMETRY),
    ):
        try:
            for package in packages.split() if value else ():
                version(package.partition("[")[0])
        except PackageNotFoundError:
            yield f"{name}: is set, and its packages are not installed; run `pip install {packages}`, or unset it"
