"""
Every error of ours, and how each reads over HTTP.

    ServiceError
    ├── InvalidRequest          400  a field is missing, unknown or out of range
    │   ├── InvalidAudio        400  the bytes are not audio this service can decode
    │   ├── UnsupportedFormat   400  an answer was asked for in a format that does not exist here
    │   ├── ModelCannotTranslate 400 an English-only model was asked for another language
    │   └── NothingToSay        400  the text has nothing in it that can be spoken
    ├── Unauthorized            401  the API key is missing or unknown
    ├── NotFound                404
    │   ├── ModelNotFound       404  nothing here goes by that name
    │   └── JobNotFound         404  no job has that id, or it was removed
    ├── Conflict                409  the job's state, or an Idempotency-Key used before, does not allow it
    ├── TooLarge                413  the upload has too many bytes
    │   └── AudioTooLong        413  the recording has too many minutes
    ├── RateLimited             429  too many requests: `Retry-After` says when to try again
    │   └── AudioLimited        429  too many seconds of audio within an hour
    ├── InsufficientStorage     507  the disk space for jobs is used up
    └── Unavailable             503  try again: `Retry-After` says when
        ├── QueueFull           503  every seat is taken
        ├── InsufficientMemory  503  the engine does not fit into the budget now
        ├── EngineDied          503  the engine process ended in mid-work
        ├── EngineTimeout       503  the engine made no progress and was ended
        ├── BrokerUnavailable   503  the broker jobs are given to does not answer
        ├── UpstreamFailed      503  the OpenAI-compatible server that work is passed to did not do it
        ├── Misconfigured       503  trying again does not help: the message has the remedy
        │   ├── LocalWhisperDisabled
        │   └── ModelMissing
        ├── SynthesisFailed     503  one synthesizer could not speak this
        └── SynthesisUnavailable 503 no synthesizer could
    ClientGone                       nobody waits for the answer any more; never sent

Everything is answered in one envelope, OpenAI's: `{"error": {"message", "type", "param", "code"}}`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import HTTPException

log = logging.getLogger(__name__)


class ServiceError(Exception):
    """The root: a message for the caller, a status, and a code that programs can rely on."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after_seconds: int | None = None
    # Whether a client should repeat the request by itself, as the OpenAI clients do; only told with a 5xx.
    should_retry: ClassVar[bool] = False

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message, self.param = message, param


class InvalidRequest(ServiceError):
    """A field is missing, unknown or out of range; the message says what is accepted."""

    status, code = 400, "invalid_request"


class InvalidAudio(InvalidRequest):
    """The bytes are not audio this service can decode."""

    code = "invalid_audio"


class UnsupportedFormat(InvalidRequest):
    """An answer was asked for in a format that does not exist here."""

    code = "unsupported_format"


class ModelCannotTranslate(InvalidRequest):
    """An English-only model was asked for another language."""

    code = "model_cannot_translate"


class NothingToSay(InvalidRequest):
    """The text has nothing in it that can be spoken."""

    code = "nothing_to_say"


class Unauthorized(ServiceError):
    """The API key is missing or unknown."""

    status, code = 401, "invalid_api_key"


class NotFound(ServiceError):
    """What was asked for does not exist."""

    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    """Nothing here goes by that name; the message has the names that are known."""

    code = "model_not_found"


class JobNotFound(NotFound):
    """No job has that id, or it was removed when its time was over."""

    code = "job_not_found"


class Conflict(ServiceError):
    """What is asked for does not go with what is there."""

    status, code = 409, "conflict"


class TooLarge(ServiceError):
    """The upload has too many bytes."""

    status, code = 413, "upload_too_large"


class AudioTooLong(TooLarge):
    """The recording has too many minutes."""

    code = "audio_too_long"


class RateLimited(ServiceError):
    """Too many requests; `Retry-After` says when to try again."""

    status, code = 429, "rate_limit_exceeded"

    def __init__(self, message: str, param: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message, param)
        self.retry_after_seconds = retry_after_seconds


class AudioLimited(RateLimited):
    """Too many seconds of audio within an hour."""

    code = "audio_limit_exceeded"


class InsufficientStorage(ServiceError):
    """The disk space for jobs is used up."""

    status, code = 507, "insufficient_storage"


class Unavailable(ServiceError):
    """It can't be done now; `Retry-After` says when to try again."""

    status, code = 503, "unavailable"
    retry_after_seconds: int | None = 5
    should_retry = True

    def __init__(
        self, message: str, param: str | None = None, *, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message, param)
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds


class QueueFull(Unavailable):
    """Every seat of the engine is taken."""

    code = "queue_full"


class InsufficientMemory(Unavailable):
    """The engine does not fit into the budget now."""

    code = "insufficient_memory"


class EngineDied(Unavailable):
    """The engine process ended in mid-work; the next request gets a new one."""

    code = "engine_died"
    retry_after_seconds = 1


class EngineTimeout(Unavailable):
    """The engine made no progress and was ended; the same work would only do it again."""

    code = "engine_timeout"
    should_retry = False


class BrokerUnavailable(Unavailable):
    """The broker jobs are given to does not answer."""

    code = "broker_unavailable"


class UpstreamFailed(Unavailable):
    """The OpenAI-compatible server that work is passed to did not do it."""

    code = "upstream_failed"


class Misconfigured(Unavailable):
    """Something this service needs is not there; trying again does not help."""

    code = "misconfigured"
    retry_after_seconds = None
    should_retry = False


class LocalWhisperDisabled(Misconfigured):
    """The operator turned local transcription off and named no other server."""

    code = "local_whisper_disabled"


class ModelMissing(Misconfigured):
    """The model's files are not on this machine."""

    code = "model_missing"


class SynthesisFailed(Unavailable):
    """One synthesizer could not speak this."""

    code = "synthesis_failed"


class SynthesisUnavailable(Unavailable):
    """No synthesizer could speak this; the message has each one's reason."""

    code = "synthesis_unavailable"


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


def by_code(code: str, message: str, param: str | None = None) -> ServiceError:
    """The error of ours an engine's refusal stands for; what it can't name is our own fault."""
    return _subclasses_by_code().get(code, ServiceError)(message, param)


def _subclasses_by_code() -> dict[str, type[ServiceError]]:
    found: dict[str, type[ServiceError]] = {}
    pending: list[type[ServiceError]] = [ServiceError]
    while pending:
        error = pending.pop()
        found[error.code] = error
        pending += error.__subclasses__()
    return found


def envelope(status: int, code: str, message: str, param: str | None = None) -> dict[str, object]:
    """The one body every error has; *type* follows OpenAI's names for the status."""
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def register(app: Flask) -> None:
    """Answer every error in the envelope: ours, Werkzeug's, and the ones nobody foresaw."""
    from flask import jsonify, request
    from werkzeug.exceptions import HTTPException

    def answer(
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        *,
        retry_after: int | None = None,
        should_retry: bool = False,
    ) -> Response:
        response = jsonify(envelope(status, code, message, param))
        response.status_code = status
        if retry_after is not None:
            response.headers["Retry-After"] = str(retry_after)
        if status >= 500:
            # The OpenAI clients repeat every 5xx twice unless they are told not to.
            response.headers["X-Should-Retry"] = str(should_retry).lower()
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if status == 413:
            response.headers["Connection"] = "close"  # the rest of the body is not read
        return response

    @app.errorhandler(ServiceError)
    def ours(error: ServiceError) -> Response:
        if error.status >= 500:
            log.warning("%s %s: %s", request.method, request.path, error.code)
        return answer(
            error.status,
            error.code,
            error.message,
            error.param,
            retry_after=error.retry_after_seconds,
            should_retry=error.should_retry,
        )

    @app.errorhandler(ClientGone)
    def gone(error: ClientGone) -> tuple[str, int]:
        return "", 499  # nginx's number for it; nobody reads this

    @app.errorhandler(HTTPException)
    def werkzeugs(error: HTTPException) -> Response:
        status = error.code or 500
        response = answer(status, _code_of(error), _message_of(error))
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value  # `Allow` of a 405
        return response

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        log.exception("%s %s failed", request.method, request.path)
        return answer(
            500, "internal_error", "the service failed; the log has the cause under this request's id"
        )

    def _message_of(error: HTTPException) -> str:
        if error.code == 404:
            return f"there is nothing at {request.path}; GET / lists what there is"
        if error.code == 405:
            allowed = ", ".join(getattr(error, "valid_methods", None) or ())
            return f"{request.method} is not allowed at {request.path}; allowed: {allowed}"
        return error.description or error.name


def _code_of(error: HTTPException) -> str:
    return error.name.lower().replace(" ", "_").replace("'", "")
