"""What is noted of every request: its count, its time, its line in the log."""

import logging
from collections.abc import Iterable, Iterator
from time import perf_counter

from flask import Flask, Response, g, request

from .. import logs
from ..metrics import UNMATCHED
from ..monitoring import Answered, Monitoring

log = logging.getLogger("app.requests")


def register(app: Flask, monitoring: Monitoring | None) -> None:
    """Watch the requests to *app*; without *monitoring* they only have their lines in the log."""

    def note_begin() -> None:
        g.began = perf_counter()
        if monitoring is not None:
            monitoring.metrics.request_began()

    def note_end(response: Response) -> Response:
        rule = request.url_rule
        answered = Answered(
            request.method,
            rule.rule if rule is not None else UNMATCHED,
            response.status_code,
            g.request_id,
            received_bytes=request.content_length or g.get("received_bytes", 0),
        )
        if answered.status >= 400:
            answered.code = _code(response) if rule is not None else ""
            answered.path, answered.peer = request.path, request.remote_addr
            answered.forwarded_for = request.headers.get("X-Forwarded-For")
        if response.is_streamed:
            _end_later(response, answered, monitoring, g.began)
        else:
            answered.sent_bytes = response.content_length or 0
            _end(answered, monitoring, g.began)
        return response

    app.before_request(note_begin)
    app.after_request(note_end)


def _end(answered: Answered, monitoring: Monitoring | None, began: float) -> None:
    answered.seconds = perf_counter() - began
    if monitoring is not None:
        monitoring.answered(answered)
    log.info(
        "method=%s route=%s status=%d ms=%.1f in=%d out=%d",
        answered.method, answered.route, answered.status, answered.seconds * 1000, answered.received_bytes,
        answered.sent_bytes,
    )  # fmt: skip
    logs.request_id.set("-")  # the thread lives on


def _end_later(response: Response, answered: Answered, monitoring: Monitoring | None, began: float) -> None:
    """End when the last byte is out, or nobody wants it any more."""

    def counted(chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            answered.sent_bytes += len(chunk)
            yield chunk

    response.response = counted(response.iter_encoded())
    response.call_on_close(lambda: _end(answered, monitoring, began))


def _code(response: Response) -> str:
    """What the envelope calls the error."""
    body = response.get_json(silent=True) if response.is_json else None
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("code", "")) if isinstance(error, dict) else ""
