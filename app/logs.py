"""One line for each event, to standard output: key=value text or JSON, with the request's id, safe to read."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING

from .config import Settings

if TYPE_CHECKING:
    from .answered import Answered

# The id of the request this thread answers, for lines from rooms that know nothing of requests.
request_id: ContextVar[str] = ContextVar("request_id", default="-")


class Text(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO app.requests request_id=… method=GET route=/health ...`, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; what could end it, move the cursor or reorder it is escaped."""
        line = (
            f"{_when(record)} {record.levelname} {record.name} request_id={request_id.get()} {_said(record)}"
        )
        return line if line.isprintable() else escaped(line)


class Json(logging.Formatter):
    """The same as an object; JSON's own rules keep it on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "request_id": request_id.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        line = json.dumps(fields, ensure_ascii=False)
        return line if line.isprintable() else escaped(line)


def _when(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=2)
def _second(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))


def _said(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return record.getMessage()
    return f"{record.getMessage()}\n{_plain.formatException(record.exc_info)}"


_plain = logging.Formatter()


def escaped(text: str) -> str:
    r"""*text* with what can't be printed as \uXXXX: line ends, terminal controls, direction marks."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode-escape", "surrogatepass").decode()
        for letter in text
    )


_requests = logging.getLogger("app.requests")


def answered(request: Answered) -> None:
    """The line of a request that was answered."""
    _requests.info(
        "method=%s route=%s status=%d ms=%.1f in=%d out=%d",
        request.method,
        request.route,
        request.status,
        request.seconds * 1000,
        request.received_bytes,
        request.sent_bytes,
    )


def begin(settings: Settings) -> None:
    """From now on this process logs to standard output."""
    # Who called and from which thread is in no line; looking it up takes 6 of a line's 25 µs (documented in
    # the standard library's logging how-to, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    output = logging.StreamHandler(sys.stdout)
    output.setFormatter({"text": Text, "json": Json}[settings.log_format]())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[output], force=True)


def adopt(logger: logging.Logger) -> None:
    """
    Have a logger with an output of its own write like everyone.

    gunicorn's setting for it, `logconfig_dict`, makes it put together an access log line that nobody reads.
    """
    logger.handlers.clear()
    logger.propagate = True
