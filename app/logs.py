"""One line for each event, to standard output: key=value text or JSON, with the request's id, safe to read."""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar
from typing import Any

from .config import Settings

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
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


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


def configuration(settings: Settings) -> dict[str, Any]:  # logging.config.dictConfig's own schema
    """What `logging.config` is given: everything to standard output, gunicorn's own lines as well."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"app.logs.{settings.log_format.capitalize()}"}},
        "handlers": {
            "output": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}
        },
        "root": {"level": settings.log_level.upper(), "handlers": ["output"]},
        "loggers": {
            "gunicorn.error": {"level": "WARNING", "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
        },
    }
