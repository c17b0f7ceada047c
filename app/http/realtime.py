"""Where live sessions begin: OpenAI's Realtime API, transcription only, and our own in plain form, over WebSockets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, g, jsonify, request
from werkzeug.wsgi import ClosingIterator

from .. import logs
from ..config import split_list
from ..errors import Forbidden, InvalidRequest, ServiceError, UpgradeRequired
from . import auth, params
from .hooks import AppResponse, current_request, services
from .params import LIVE, Field, Number, Text
from .requests import receive_fields

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..server.client_socket import ClientSocket
    from ..services import Services
    from .live import Session

realtime = Blueprint("realtime", __name__, url_prefix="/v1")
live = Blueprint("live", __name__, url_prefix="/api/v1/pam/voice")

PROTOCOL = "Sec-WebSocket-Protocol"
SECRET_SECONDS, LONGEST_SECRET_SECONDS = 600, 7200
LONGEST_SECRET = 4096  # characters: it is sent in one header
QUERY = (Text("model", "as for /v1/audio/transcriptions; names of conversation models are ignored"),)

SECRETS = (
    Field("session", "as session.update has it: what a session begins with", kind={"type": "object"}),
    Field("expires_after", '{"anchor": "created_at", "seconds": 10 to 7200}', kind={"type": "object"}),
)

BETA_SECRETS = tuple(
    Field(name, "as transcription_session.update has it")
    for name in (
        "input_audio_format",
        "input_audio_transcription",
        "turn_detection",
        "input_audio_noise_reduction",
    )
)


@realtime.get(
    "/realtime", summary="A WebSocket: speech in, its text out, by OpenAI's Realtime API", query=QUERY
)
@realtime.get("/realtime", websocket=True)  # to Werkzeug another route
def connect() -> Response:
    from_ticket = services().access.tickets.find(auth.presented())
    model = request.args.get("model", "")
    asked = map(str.lower, _listed("OpenAI-Beta"))
    beta = "realtime=v1" in asked or "openai-beta.realtime-v1" in _listed(PROTOCOL)
    session = from_ticket.session if from_ticket else {}
    with _admitted():
        from .realtime_events import RealtimeSession

        return _upgraded(RealtimeSession(model=model, beta=beta, session=session))


@live.get("/live", summary="A WebSocket: PCM in, a line of JSON for each piece of text out", query=LIVE)
@live.get("/live", websocket=True)
def plain() -> Response:
    fields: dict[str, Any] = {name: request.args[name] for name in request.args if name != "languages"}
    fields["languages[]"] = [*request.args.getlist("languages"), *request.args.getlist("languages[]")]

    with _admitted():
        from .live import PlainSession

        return _upgraded(PlainSession(fields))


@contextmanager
def _admitted() -> Generator[None]:
    """
    Where this request may become a session, which counts from here on, and no longer where the block raises; what that
    raises is the answer's status.
    """
    client = request.environ.get("gunicorn.socket")
    if (
        "websocket" not in map(str.lower, _listed("Upgrade"))
        or "upgrade" not in map(str.lower, _listed("Connection"))
        or request.headers.get("Sec-WebSocket-Version") != "13"
        or request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0"
        or client is None
    ):
        raise UpgradeRequired(
            "this is a WebSocket's address: connect with ws:// or wss://, or send Upgrade: websocket, Connection: "
            "Upgrade, Sec-WebSocket-Version: 13 and Sec-WebSocket-Key in a GET of HTTP/1.1"
        )
    key = request.headers.get("Sec-WebSocket-Key", "")
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            raise ValueError
    except (ValueError, binascii.Error):
        raise InvalidRequest("Sec-WebSocket-Key: must be 16 bytes in base64") from None
    _check_origin()
    found = services()
    if not found.settings.live_sessions_here:
        raise Forbidden(
            "there are no live sessions here; set REALTIME_SESSIONS to a number, WEB_THREADS to 3 or more"
        )
    try:
        found.live.enter(client)
    except ServiceError as error:
        found.speech.observer.note("realtime_refusals_total", 1, error.code)
        raise
    try:
        yield
    except BaseException:
        _leave(found, client)
        raise


def _leave(found: Services, client: ClientSocket) -> None:
    found.live.leave(client)
    found.speech.observer.note("realtime_sessions", len(found.live))


def _upgraded(session: Session) -> Response:
    """The response that makes a WebSocket of this request, and has *session* run on it."""
    from wsproto.utilities import generate_accept_token

    app, rule = current_app._get_current_object(), request.url_rule  # type: ignore[attr-defined]
    client, id = session.client, current_request().id

    def run() -> Iterator[bytes]:
        client.upgraded = True
        yield b""
        client.end()  # the head is sent
        logs.request_id.set(id)
        with app.app_context():
            session.run(rule.rule if rule else "")
        logs.request_id.set("-")

    response = Upgraded(run(), 101)
    response.call_on_close(partial(_leave, session.services, client))
    session.speech.observer.note("realtime_sessions", len(session.services.live))
    accepted = generate_accept_token(request.headers["Sec-WebSocket-Key"].encode()).decode()
    response.headers.update(
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accepted}
    )
    del response.headers["Content-Type"]
    if "realtime" in _listed(PROTOCOL):
        response.headers[PROTOCOL] = "realtime"
    return response


class Upgraded(AppResponse):
    """The answer 101, whose body is a session: what is no HTTP any more is written by it and not by the server."""

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        """The session; Werkzeug leaves out the body of an answer 101."""
        return ClosingIterator(cast(Iterable[bytes], self.response), self.close)


def _listed(header: str) -> list[str]:
    """The words of a *header* that is a list; of them, subprotocols are compared as they stand (RFC 6455, 4.1)."""
    return [one.strip() for one in request.headers.get(header, "").split(",")]


def _check_origin() -> None:
    """Forbidden where a page of another site asks: browsers let any page open a WebSocket."""
    origin = request.headers.get("Origin")
    allowed = split_list(services().settings.cors_origins) if services().settings.cors_origins else []
    if origin is None or "*" in allowed or origin.rstrip("/").lower() in map(str.lower, allowed):
        return
    try:
        page = urlsplit(origin)
        host = urlsplit(f"{page.scheme}://{request.headers.get('Host', '')}")
        usual = {"https": 443, "http": 80}.get(page.scheme)
        if page.hostname and (page.hostname, page.port or usual) == (host.hostname, host.port or usual):
            return
    except ValueError:
        pass
    raise Forbidden(f"pages of {origin[:200]} may not call this service; CORS_ORIGINS names those that may")


@realtime.post(
    "/realtime/client_secrets", summary="A key for minutes, for a browser's WebSocket", json=SECRETS
)
def client_secrets() -> Response:
    given = receive_fields(example='{"session": {"type": "transcription"}}')
    fields = {name: value for name, value in given.items() if value}  # what is empty counts as not given
    session = params.read_object(fields, "session")
    seconds = params.read_object(fields, "expires_after").get("seconds", SECRET_SECONDS)
    value, expires_at, shown = _secret(session, seconds, beta=False)
    return jsonify(value=value, expires_at=expires_at, session={**shown, "expires_at": expires_at})


@realtime.post(
    "/realtime/transcription_sessions", summary="The same, as OpenAI's beta had it", json=BETA_SECRETS
)
def transcription_sessions() -> Response:
    session = receive_fields(example='{"input_audio_format": "pcm16"}')
    value, expires_at, shown = _secret(dict(session), SECRET_SECONDS, beta=True)
    return jsonify({**shown, "client_secret": {"value": value, "expires_at": expires_at}})


def _secret(session: dict[str, Any], seconds: Any, *, beta: bool) -> tuple[str, int, dict[str, Any]]:
    """A key as it is sent, until when it is good, and the session that begins with it."""
    from .realtime_events import Configuration

    lasts = Number("expires_after.seconds", "", least=10, most=LONGEST_SECRET_SECONDS, whole=True)
    seconds = lasts.read({"expires_after.seconds": seconds})
    configuration = Configuration().updated(session, beta=beta)
    kept = {"beta": session} if beta else session
    value, ticket = services().access.tickets.make(g.get("key_id", ""), seconds, kept)
    if len(value) > LONGEST_SECRET:
        raise InvalidRequest("session: is too long for a key; send its prompt with session.update", "session")
    return value, ticket.expires_at, configuration.shown(beta=beta)
