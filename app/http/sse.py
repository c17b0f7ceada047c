"""Server-sent events for work that takes longer than a router waits for a byte."""

import contextvars
import json
import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing

from flask import Response

from ..errors import ClientGone, ServiceError, envelope

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 10.0  # Heroku cuts a response after 55 s without a byte, some proxies after 15
REFUSAL_SECONDS = 0.25  # how long the first byte waits for a refusal, which is then a status and no event
COMMENT = b": working\n\n"
LAST = b"data: [DONE]\n\n"


def event(data: Mapping[str, object]) -> bytes:
    """One event."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def error_event(error: ServiceError) -> bytes:
    """The event that stands for *error* once the status is sent."""
    return event({"type": "error", **envelope(error.status, error.code, error.message, error.param)})


class Background:
    """
    Events that are made in a thread of their own, so that comments can be sent while none is ready.

    Owned by the response; `close()` cancels. *events* is given a function that tells whether anybody still
    waits, and owns what it works with: the thread runs it to its end or closes it.
    """

    def __init__(
        self,
        events: Callable[[Callable[[], bool]], Generator[bytes]],
        wanted: Callable[[], bool],
        *,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        self._keep_alive_seconds = keep_alive_seconds
        self._cancelled = threading.Event()
        self._ready: queue.SimpleQueue[bytes | ServiceError | None] = queue.SimpleQueue()
        self._first: bytes | ServiceError | None = COMMENT
        work = events(lambda: not self._cancelled.is_set() and wanted())
        run = contextvars.copy_context().run  # its lines in the log have the request's id
        threading.Thread(target=run, args=(self._run, work), name="event-stream", daemon=True).start()

    def _run(self, work: Generator[bytes]) -> None:
        try:
            with closing(work):
                for ready in work:
                    self._ready.put(ready)
                    if self._cancelled.is_set():
                        break
        except ServiceError as error:
            log.warning("event stream: %s", error.code)
            self._ready.put(error)
        except ClientGone:
            pass
        except Exception:
            log.exception("event stream failed")
            self._ready.put(ServiceError("the service failed; the log has the cause"))
        finally:
            self._ready.put(None)

    def raise_early_refusal(self, seconds: float = REFUSAL_SECONDS) -> None:
        """Raise the error the work ends with within *seconds*, while there still is a status to give it."""
        try:
            self._first = self._ready.get(timeout=seconds)
        except queue.Empty:
            return
        if isinstance(self._first, ServiceError):
            raise self._first

    def __iter__(self) -> Iterator[bytes]:
        yield COMMENT
        ready = self._next() if self._first is COMMENT else self._first
        while ready is not None:
            yield error_event(ready) if isinstance(ready, ServiceError) else ready
            ready = self._next()

    def _next(self) -> bytes | ServiceError | None:
        try:
            return self._ready.get(timeout=self._keep_alive_seconds)
        except queue.Empty:
            return COMMENT

    def close(self) -> None:
        """Stop the work; nobody reads any more."""
        self._cancelled.set()


def event_stream(body: Background | Generator[bytes]) -> Response:
    """The response that sends events as they come, past caches and buffering proxies."""
    response = Response(iter(body), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect them
    response.call_on_close(body.close)
    return response
