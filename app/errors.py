"""
Every error of ours with its status and code, and how each is answered over HTTP.

    ServiceError                   500 internal_error
    ├── InvalidRequest             400 invalid_request
    │   ├── InvalidAudio               invalid_audio
    │   ├── UnsupportedFormat          unsupported_format
    │   ├── ModelCannotTranslate       model_cannot_translate
    │   ├── NothingToSay               nothing_to_say
    │   ├── NoConversation             no_conversation
    │   └── InputAudioBufferCommitEmpty    input_audio_buffer_commit_empty
    ├── Unauthorized               401 invalid_api_key
    ├── Forbidden                  403 forbidden
    ├── NotFound                   404 not_found
    │   ├── ModelNotFound              model_not_found
    │   └── JobNotFound                job_not_found
    ├── Conflict                   409 conflict
    ├── TooLarge                   413 upload_too_large
    │   └── AudioTooLong               audio_too_long
    ├── UpgradeRequired            426 upgrade_required
    ├── SessionEnded               408 session_ended
    │   ├── SessionExpired             session_expired
    │   └── SessionIdle                session_idle
    ├── RateLimited                429 rate_limit_exceeded
    │   └── AudioLimited               audio_limit_exceeded
    ├── InsufficientStorage        507 insufficient_storage
    └── Unavailable                503 unavailable
        ├── QueueFull                  queue_full
        ├── InsufficientMemory         insufficient_memory
        ├── EngineDied                 engine_died
        ├── EngineTimeout              engine_timeout
        ├── BrokerUnavailable          broker_unavailable
        ├── UpstreamFailed             upstream_failed
        ├── Misconfigured              misconfigured
        │   ├── LocalWhisperDisabled       local_whisper_disabled
        │   └── ModelMissing               model_missing
        ├── SynthesisFailed            synthesis_failed
        └── SynthesisUnavailable       synthesis_unavailable
    ClientGone                     499 is logged; nobody is there to be answered

Everything is answered in one envelope, OpenAI's: `{"error": {"message", "type", "param", "code"}}`.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import HTTPException

log = logging.getLogger(__name__)


class ServiceError(Exception):
    """The root: a message for the caller, a status, and a code that programs can rely on."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"  # of a class that sets none: its name, as in the tree
    retry_after_seconds: int | None = None
    # Whether a client should repeat the request by itself, as the OpenAI clients do; only told with a 5xx.
    should_retry: ClassVar[bool] = False

    by_code: ClassVar[dict[str, type[ServiceError]]] = {}  # all that are below this one

    def __init_subclass__(cls) -> None:
        if "code" not in vars(cls):
            cls.code = re.sub("(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.by_code[cls.code] = cls

    def __init__(
        self, message: str, param: str | None = None, *, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.param = message, param
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds


class InvalidRequest(ServiceError):
    """A field is missing, unknown or out of range; the message says what is accepted."""

    status = 400


class InvalidAudio(InvalidRequest):
    """The bytes are not audio this service can decode."""


class UnsupportedFormat(InvalidRequest):
    """An answer was asked for in a format that does not exist here."""


class ModelCannotTranslate(InvalidRequest):
    """An English-only model was asked for another language."""


class NothingToSay(InvalidRequest):
    """The text has nothing in it that can be spoken."""


class NoConversation(InvalidRequest):
    """A live session was asked for what only a conversation with a model has."""


class InputAudioBufferCommitEmpty(InvalidRequest):
    """A turn was ended that has less than 100 ms of audio; OpenAI's name for it."""


class Unauthorized(ServiceError):
    """The API key is missing or unknown."""

    status, code = 401, "invalid_api_key"


class Forbidden(ServiceError):
    """What is asked for is not allowed here; the message names the setting that allows it."""

    status = 403


class NotFound(ServiceError):
    """What was asked for does not exist."""

    status = 404


class ModelNotFound(NotFound):
    """Nothing here goes by that name; the message has the names that are known."""


class JobNotFound(NotFound):
    """No job has that id, or it was removed when its time was over."""


class Conflict(ServiceError):
    """What is asked for does not go with what is there."""

    status = 409


class TooLarge(ServiceError):
    """The upload has too many bytes."""

    status, code = 413, "upload_too_large"


class AudioTooLong(TooLarge):
    """The recording has too many minutes."""


class UpgradeRequired(ServiceError):
    """A WebSocket's address was asked for by plain HTTP."""

    status = 426


class SessionEnded(ServiceError):
    """A live session was closed by the service."""

    status = 408


class SessionExpired(SessionEnded):
    """It lasted for REALTIME_MINUTES."""


class SessionIdle(SessionEnded):
    """Nothing was sent in it for REALTIME_IDLE_SECONDS."""


class RateLimited(ServiceError):
    """Too many requests; `Retry-After` says when to try again."""

    status, code = 429, "rate_limit_exceeded"
    retry_after_seconds = 1


class AudioLimited(RateLimited):
    """Too many seconds of audio within an hour."""

    code = "audio_limit_exceeded"


class InsufficientStorage(ServiceError):
    """A disk takes no more: that of jobs (JOB_DISK_MB, DATA_DIR), or that of uploads."""

    status = 507


class Unavailable(ServiceError):
    """It can't be done now; `Retry-After` says when to try again."""

    status = 503
    retry_after_seconds: int | None = 5
    should_retry = True


class QueueFull(Unavailable):
    """Every seat of the engine is taken."""


class InsufficientMemory(Unavailable):
    """The engine does not fit into the budget now."""


class EngineDied(Unavailable):
    """The engine process ended in mid-work; the next request gets a new one."""

    retry_after_seconds = 1


class EngineTimeout(Unavailable):
    """The engine made no progress and was ended; the same work would only do it again."""

    should_retry = False


class BrokerUnavailable(Unavailable):
    """The broker jobs are given to does not answer."""


class UpstreamFailed(Unavailable):
    """The OpenAI-compatible server that work is passed to did not do it."""


class Misconfigured(Unavailable):
    """Something this service needs is not there; trying again does not help."""

    retry_after_seconds = None
    should_retry = False


class LocalWhisperDisabled(Misconfigured):
    """The operator turned local transcription off and named no other server."""


class ModelMissing(Misconfigured):
    """The model's files are not on this machine."""


class SynthesisFailed(Unavailable):
    """One synthesizer could not speak this."""


class SynthesisUnavailable(Unavailable):
    """No synthesizer could speak this; the message has each one's reason."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


def by_code(code: str, message: str, param: str | None = None) -> ServiceError:
    """The error of ours an engine's refusal stands for; what it can't name is our own fault."""
    return ServiceError.by_code.get(code, ServiceError)(message, param)


def envelope(status: int, code: str, message: str, param: str | None = None) -> dict[str, object]:
    """The one body every error has; *type* follows OpenAI's names for the status."""
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def register(app: Flask) -> None:
    """Answer every error in the envelope: ours, Werkzeug's, and the ones nobody foresaw."""
    from flask import g, jsonify, request
    from werkzeug.exceptions import HTTPException

    def respond(status: int, code: str, message: str, param: str | None = None) -> Response:
        response = jsonify(envelope(status, code, message, param))
        response.status_code, g.error_code = status, code  # the latter for the log
        if status >= 500:
            # The OpenAI clients repeat every 5xx twice unless they are told not to.
            response.headers["X-Should-Retry"] = "false"
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if status == 413:
            response.headers["Connection"] = "close"  # the rest of the body is not read
        return response

    @app.errorhandler(ServiceError)
    def ours(error: ServiceError) -> Response:
        response = respond(error.status, error.code, error.message, error.param)
        if error.status >= 500:
            log.warning("%s %s: %s: %s", request.method, request.url_rule, error.code, error.message)
            response.headers["X-Should-Retry"] = str(error.should_retry).lower()
        if error.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(error.retry_after_seconds)
        return response

    @app.errorhandler(ClientGone)
    def gone(error: ClientGone) -> tuple[str, int]:
        return "", 499  # nginx's number for it; nobody reads this

    @app.errorhandler(HTTPException)
    def werkzeugs(error: HTTPException) -> Response:
        message = error.description or error.name
        if error.code == 404:
            message = f"there is nothing at {request.path}; GET / lists what there is"
        if error.code == 405:
            allowed = ", ".join(getattr(error, "valid_methods", None) or ())
            message = f"{request.method} is not allowed at {request.path}; allowed: {allowed}"
        response = respond(error.code or 500, error.name.lower().replace(" ", "_").replace("'", ""), message)
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value  # `Allow` of a 405
        return response

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        log.exception("%s %s failed", request.method, request.url_rule)
        message = "the service failed; the log has the cause under this request's id"
        return respond(500, "internal_error", message)
