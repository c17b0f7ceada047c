"""What is noted of every request: its count, its time, its line in the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING

from flask import Request, Response

from .. import logs
from ..monitoring.answered import UNMATCHED, Answered

if TYPE_CHECKING:
    from ..monitoring.monitoring import Monitoring


class Watch:
    """Watches requests, one per app; without *monitoring* they only have their lines in the log."""

    def __init__(self, monitoring: Monitoring | None) -> None:
        self._monitoring = monitoring
        self._request_began = monitoring.metrics.request_began if monitoring else _nothing

    def begin(self) -> float:
        """A request came in; when, to be given to `end`."""
        self._request_began()
        return perf_counter()

    def end(
        self, request: Request, response: Response, request_id: str, *, began: float, received_bytes: int
    ) -> None:
        """Its answer is made: note it now, or when the last byte of a stream is out."""
        rule = request.url_rule
        answered = Answered(
            request.method,
            rule.rule if rule is not None else UNMATCHED,
            response.status_code,
            request_id,
            received_bytes=received_bytes,
        )
        if answered.status >= 400:
            answered.code = _code(response) if rule is not None else ""
            answered.path, answered.peer = request.path, request.remote_addr
        if response.is_streamed:
            self._end_later(response, answered, began)
        else:
            answered.sent_bytes = response.content_length or 0
            self._note(answered, began)

    def _end_later(self, response: Response, answered: Answered, began: float) -> None:
        def counted(chunks: Iterable[bytes]) -> Iterator[bytes]:
            for chunk in chunks:
                answered.sent_bytes += len(chunk)
                yield chunk

        if (close := getattr(response.response, "close", None)) is not None:
            response.call_on_close(close)  # of a file that is sent: its place is taken here
        response.response = counted(response.iter_encoded())
        response.direct_passthrough = False  # as a file's is, and what is to be called on close then never is
        response.call_on_close(lambda: self._note(answered, began))

    def _note(self, answered: Answered, began: float) -> None:
        answered.seconds = perf_counter() - began
        if self._monitoring is not None:
            self._monitoring.answered(answered)
        logs.answered(answered)
        logs.request_id.set("-")  # the thread lives on


def _nothing() -> None:
    """What is noted of a request's begin where nothing is counted."""


def _code(response: Response) -> str:
    """What the envelope calls the error."""
    body = response.get_json(silent=True) if response.is_json else None
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("code", "")) if isinstance(error, dict) else ""
