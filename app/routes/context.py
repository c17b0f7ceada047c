"""What every view needs of its surroundings: the services, the request's id, and whether its client waits."""

import logging
import re
import secrets
import select
from collections.abc import Callable

from flask import Flask, Response, current_app, g, request

from .. import logs
from ..config import Settings
from ..services import Services
from . import watch
from .uploads import linger

log = logging.getLogger("app.requests")

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def services() -> Services:
    """What lives as long as this worker."""
    found: Services = current_app.extensions["services"]
    return found


def client_waits() -> Callable[[], bool]:
    """A function that tells whether the client of this request is still there."""
    connection = request.environ.get("gunicorn.socket")
    if connection is None:  # another server, or a test client: assume so
        return lambda: True
    watch = select.poll()
    watch.register(connection, select.POLLRDHUP)
    return lambda: not watch.poll(0)


def register(app: Flask, settings: Settings) -> None:
    """Give every request an id, every response its header, and each a line in the log."""
    app.config["UPLOAD_DIR"] = settings.upload_dir or None
    app.config["MAX_UPLOAD_MB"] = settings.max_upload_mb
    app.config["MAX_CONTENT_LENGTH"] = 1 << 20  # what a view reads into memory; recordings have their own
    app.json.sort_keys = False  # type: ignore[attr-defined]
    watch.register(app, app.extensions["services"].monitoring)
    app.before_request(_name_request)
    app.after_request(_stamp_response)


def _name_request() -> None:
    asked = request.headers.get("X-Request-ID", "")
    g.request_id = asked if ACCEPTABLE_ID.fullmatch(asked) else secrets.token_hex(8)
    logs.request_id.set(g.request_id)


def _stamp_response(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    if response.status_code == 413:
        linger()
    return response
