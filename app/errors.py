"""
Every error of ours, and how each is answered over HTTP: by its status and its code, which is the name of the class in
small letters (`invalid_audio`) where it names no other. What a class does not say it has from its parent.

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
    code: ClassVar[str] = "internal_error"  # of a class that sets none: its name
    retry_after_seconds: int | None = None
    # Whether a client should repeat the request by itself, as the OpenAI clients do; only told with a 5xx.
    should_retry: ClassVar[bool] = False

    by_code: ClassVar[dict[str, type[ServiceError]]] = {}  # all that are below this one

    def __init_subclass__(cls, **differs: object) -> None:
        """Make an error of which *differs* from its parent: any of the above."""
        name = re.sub("(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        for attribute, value in {"code": name, **differs}.items():
            setattr(cls, attribute, value)
        cls.by_code[cls.code] = cls

    def __init__(
        self, message: str, param: str | None = None, *, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.param = message, param
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds


# fmt: off
# A field is missing, unknown or out of range; the message says what is accepted.
class InvalidRequest(ServiceError, status=400): ...
class InvalidAudio(InvalidRequest): ...  # the bytes are not audio this service can decode
class UnsupportedFormat(InvalidRequest): ...  # an answer was asked for in a format that does not exist here
class ModelCannotTranslate(InvalidRequest): ...  # an English-only model was asked for another language
class NothingToSay(InvalidRequest): ...  # the text has nothing in it that can be spoken
class NoConversation(InvalidRequest): ...  # a live session was asked for what only a conversation with a model has
# A turn was ended that has less than 100 ms of audio; the name is OpenAI's.
class InputAudioBufferCommitEmpty(InvalidRequest): ...

class Unauthorized(ServiceError, status=401, code="invalid_api_key"): ...  # the API key is missing or unknown
class Forbidden(ServiceError, status=403): ...  # not allowed here; the message names the setting that allows it

class NotFound(ServiceError, status=404): ...  # what was asked for does not exist
class ModelNotFound(NotFound): ...  # nothing here goes by that name; the message has the names that are known
class JobNotFound(NotFound): ...  # no job has that id, or it was removed when its time was over

class SessionEnded(ServiceError, status=408): ...  # a live session was closed by the service
class SessionExpired(SessionEnded): ...  # it lasted for REALTIME_MINUTES
class SessionIdle(SessionEnded): ...  # nothing was sent in it for REALTIME_IDLE_SECONDS

class ServiceEnded(ServiceError): ...  # it ended again and again while it worked on a job (JOB_ATTEMPTS)
class Conflict(ServiceError, status=409): ...  # what is asked for does not go with what is there
class TooLarge(ServiceError, status=413, code="upload_too_large"): ...  # the upload has too many bytes
class AudioTooLong(TooLarge): ...  # the recording has too many minutes
class UpgradeRequired(ServiceError, status=426): ...  # a WebSocket's address was asked for by plain HTTP

# Too many requests; `Retry-After` says when to try again.
class RateLimited(ServiceError, status=429, code="rate_limit_exceeded", retry_after_seconds=1): ...
class AudioLimited(RateLimited, code="audio_limit_exceeded"): ...  # too many seconds of audio within an hour

# A disk takes no more: that of jobs (JOB_DISK_MB, DATA_DIR), or that of uploads.
class InsufficientStorage(ServiceError, status=507): ...

# It can't be done now; `Retry-After` says when to try again.
class Unavailable(ServiceError, status=503, retry_after_seconds=5, should_retry=True): ...
class QueueFull(Unavailable): ...  # every seat of the engine is taken
class InsufficientMemory(Unavailable): ...  # the engine does not fit into the budget now
# The engine process ended in mid-work; the next request gets a new one.
class EngineDied(Unavailable, retry_after_seconds=1): ...
# The engine made no progress and was ended; the same work would only do it again.
class EngineTimeout(Unavailable, should_retry=False): ...
class BrokerUnavailable(Unavailable): ...  # the broker jobs are given to does not answer
class UpstreamFailed(Unavailable): ...  # the OpenAI-compatible server that work is passed to did not do it
class SynthesisFailed(Unavailable): ...  # one synthesizer could not speak this
class SynthesisUnavailable(Unavailable): ...  # no synthesizer could speak this; the message has each one's reason

# Something this service needs is not there; trying again does not help.
class Misconfigured(Unavailable, retry_after_seconds=None, should_retry=False): ...
class LocalWhisperDisabled(Misconfigured): ...  # the operator turned transcription off and named no other server
class ModelMissing(Misconfigured): ...  # the model's files are not on this machine

class ClientGone(Exception): ...  # 499: nobody waits for the answer any more; it is only logged
# fmt: on


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
        if status == 426:
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            response.headers.update(upgrade)
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
