"""
A live session: what comes on a WebSocket goes to the engine, what that hears goes back; one thread does both.

Imported by the first session. Nothing is queued: as long as the engine is at work nothing is read, what comes
meanwhile waits in the system's buffer, and when that is full at the client.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import chain
from typing import Any, NamedTuple

from flask import request

from ..errors import (
    ClientGone,
    EngineDied,
    InvalidRequest,
    ServiceError,
    SessionExpired,
    SessionIdle,
    envelope,
)
from ..server.websocket import Part, WebSocket
from ..speech.live import COMMIT, LiveEvent, LiveInput, LiveRequest, TurnDetection, as_recording, live_audio
from . import params
from .hooks import caller, client_waits, services
from .openai_audio import local_name
from .params import DETECTION, LIVE

log = logging.getLogger("app.requests")

PIECE_SECONDS = 0.1  # of audio given to the engine at a time, unless more is there or nothing more comes
LOOK_UP_SECONDS = 1.0  # how often limits and the worker's end are looked at while nothing comes
CHARGE_SECONDS = 5.0  # of audio charged to the allowance at a time
LEAST_TURN_SECONDS = 0.1
BEHIND_SECONDS = 1.0  # of audio that waits, from which on deltas are left out
# After the engine failed; what comes meanwhile is not heard. One that died is started again at once, but not when it
# died before within FAILED_SECONDS.
REST_SECONDS, FAILED_SECONDS = 5.0, 10.0
LONGEST_TEXT = 1 << 16  # characters of a message that is no audio
NORMAL, GOING_AWAY, POLICY, FAILED = 1000, 1001, 1008, 1011  # RFC 6455, section 7.4


class End(NamedTuple):
    """Why the service ends a session: the close frame's code, and an error that is told before."""

    code: int
    error: ServiceError | None = None


class Session:
    """
    What both protocols share; it is made in the request that it begins as. A protocol says how to `begin`, `take` what
    comes, `tell` what was heard, `tell_error`, and `fail` the turns that are open.

    It keeps *speaking*: with turn detection, whether somebody does; and *lost*, where an error of a turn is told later.
    """

    wire_bytes = 1.0  # on the wire for a byte of audio

    def __init__(self) -> None:
        self.services, self.caller, self.client_waits = services(), caller(), client_waits()
        self.settings, self.speech = self.services.settings, self.services.speech
        self.client = request.environ["gunicorn.socket"]
        received = request.environ["wsgi.input"].reader.unreader.take_buffered()
        self.socket = WebSocket(self.client, received)
        self.request = LiveRequest()
        self.began_at = self._active_at = time.monotonic()
        self.turns = 0  # that were completed
        self.seconds = 0.0  # of audio that the engine was given
        self.offset = 0.0  # and that an engine before the present one had
        self.since_turn = 0.0  # and that came since the last turn was ended by a message
        self.end: End | None = None
        self.speaking = False
        self.lost: ServiceError | None = None  # what became of the audio before the next commit
        self.committing = False  # the engine was told that a turn is over, and has not said so yet
        self._charged, self._rest_until, self._failed_at = 0.0, 0.0, 0.0
        self.pcm = bytearray()  # that the engine has not been given yet

    def begin(self) -> None:
        """Tell the client that it may speak."""

    def take(self, part: Part) -> Iterator[LiveInput]:
        """What a part of a message means to the engine."""
        raise NotImplementedError

    def tell(self, event: LiveEvent) -> None:
        """Tell the client what was heard."""
        raise NotImplementedError

    def tell_error(self, error: ServiceError) -> None:
        """Tell the client of an error that ends no turn."""
        raise NotImplementedError

    def fail(self, error: ServiceError) -> bool:
        """The engine failed: tell of each turn that was open; whether there was one."""
        raise NotImplementedError

    def turn_is_open(self) -> bool:
        """Whether there is audio whose turn is still to be ended."""
        if self.request.turn_detection is not None:
            return self.speaking
        return self.since_turn >= LEAST_TURN_SECONDS and self.lost is None

    @property
    def bytes_per_second(self) -> int:
        """Of audio."""
        return self.request.rate * (2 if self.request.encoding == "pcm" else 1)

    def run(self, route: str) -> None:
        """Serve the session to its end, and log a line about it."""
        how = "ended"
        try:
            self.begin()
            self.speech.warm(as_recording(self.request))
            inputs = self._inputs()
            for first in inputs:
                if not isinstance(first, LiveRequest):
                    self._hear(chain([first], inputs))
            end = self.end or End(NORMAL)
            how = end.error.code if end.error else how
            if end.error:
                self.tell_error(end.error)
            self.socket.close(end.code, end.error.message[:100] if end.error else "")
        except ClientGone as reason:  # Closed, or seen while it waited for the engine
            how = str(reason).replace(" ", "_") or "vanished"
        except Exception:
            how = "failed"
            log.exception("a live session failed")
            self.socket.close(FAILED, "the service failed")
        finally:
            self._charge()
            seconds = time.monotonic() - self.began_at
            log.info(
                "live route=%s ms=%.1f audio_s=%.1f turns=%d end=%s",
                route, 1000 * seconds, self.seconds, self.turns, how,
            )  # fmt: skip

    def _hear(self, inputs: Iterator[LiveInput]) -> None:
        """Have one engine hear *inputs*, to their end or its own."""
        self.offset = self.seconds
        try:
            with closing(self.speech.live(self.request, inputs, self.client_waits)) as events:
                for event in events:
                    self.turns += event.kind == "completed"
                    self.committing = self.committing and event.kind not in ("committed", "empty")
                    self.tell(event)
        except ServiceError as error:
            log.warning("live: %s: %s", error.code, error.message)
            now = time.monotonic()
            if now - self._failed_at < FAILED_SECONDS or not isinstance(error, EngineDied):
                self._rest_until = now + (error.retry_after_seconds or REST_SECONDS)
            self._failed_at = now
            if not self.fail(error) and not isinstance(error, EngineDied):  # then nothing was lost
                self.tell_error(error)

    def _inputs(self) -> Iterator[LiveInput]:
        """What the client sends, as it comes, until the session ends; Closed when it ends by itself."""
        while self.end is None:
            self._look_at_limits()
            quiet = True
            for part in self.socket.receive(PIECE_SECONDS if self.pcm else LOOK_UP_SECONDS):
                self._active_at, quiet = time.monotonic(), False
                yield from self.take(part)
            if quiet or len(self.pcm) >= PIECE_SECONDS * self.bytes_per_second:
                yield from self.flush()
        yield from self.flush()
        if self.turn_is_open():
            yield self.commit()

    def commit(self) -> LiveInput:
        """What ends a turn."""
        self.since_turn, self.committing = 0.0, True
        return COMMIT

    def _look_at_limits(self) -> None:
        now, settings = time.monotonic(), self.settings
        if not self.services.is_running():
            self.end = End(GOING_AWAY)
        elif now - self.began_at > 60 * settings.realtime_minutes:
            lasted = f"a session lasts for at most {settings.realtime_minutes:g} minutes (REALTIME_MINUTES)"
            self.end = End(NORMAL, SessionExpired(lasted))
        elif now - self._active_at > settings.realtime_idle_seconds and not self.socket.waiting_bytes:
            nothing = f"nothing was sent for {settings.realtime_idle_seconds} s (REALTIME_IDLE_SECONDS)"
            self.end = End(NORMAL, SessionIdle(nothing))

    def add(self, audio: bytes | bytearray) -> Iterator[LiveInput]:
        """Take *audio* from the client; what is a second by now goes to the engine."""
        self.pcm += audio
        while len(self.pcm) >= self.bytes_per_second:
            yield from self._piece(self.bytes_per_second)

    def flush(self) -> Iterator[LiveInput]:
        """Give the engine what has come of audio, but for half a sample."""
        whole = len(self.pcm) if self.request.encoding != "pcm" else len(self.pcm) & ~1
        if whole:
            yield from self._piece(whole)

    def _piece(self, size: int) -> Iterator[LiveInput]:
        samples, seconds = bytes(self.pcm[:size]), size / self.bytes_per_second
        del self.pcm[:size]
        began = time.monotonic()
        if began < self._rest_until:
            return
        waiting = len(self.pcm) + self.socket.waiting_bytes / self.wire_bytes
        lag = waiting / self.bytes_per_second
        self.seconds += seconds
        self.since_turn += seconds
        yield live_audio(samples, behind=lag > BEHIND_SECONDS)
        took = time.monotonic() - began
        self.services.live.heard(self.client, seconds, took)
        self.speech.observer.note("realtime_lag_seconds", lag + took)
        if self.seconds - self._charged >= CHARGE_SECONDS:
            self._charge()

    def _charge(self) -> None:
        """Charge what was heard since the last time; a session that has used up the allowance ends."""
        new, self._charged = self.seconds - self._charged, self.seconds
        self.speech.observer.note("realtime_audio_seconds_total", new)
        allowance = self.services.access.allowance
        allowance.charge(self.caller, new)
        try:
            allowance.check(self.caller)
        except ServiceError as error:
            self.end = self.end or End(POLICY, error)


def read_json(text: str) -> dict[str, Any]:
    """The object that *text* is; InvalidRequest when it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidRequest("a message must be a JSON object")
    return found


class PlainSession(Session):
    """
    Our own protocol: audio in binary messages, settings and ends of turns in text, a line of JSON for each text.

    A text is `commit` or `{"type": "commit"}`, which ends a turn, `{"type": "end"}`, which ends the session too, or an
    object with fields of the query string.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._fields = dict(fields)
        self._text, self._start = "", 0.0  # of the turn under way
        self._message = ""
        self._read({})

    def _read(self, fields: Mapping[str, Any]) -> None:
        """Take on *fields* beside those there are."""
        of_message = {"languages[]" if name == "languages" else name: value for name, value in fields.items()}
        wanted = {**self._fields, **of_message}
        given = params.read(LIVE, wanted)
        detection = TurnDetection(given["turns"], **{one.name: given[one.name] for one in DETECTION})
        request = LiveRequest(
            model=local_name(given["model"]),
            language=given["language"],
            languages=given["languages[]"],
            prompt=given["prompt"],
            hotwords=given["hotwords"],
            encoding=given["encoding"],
            rate=given["rate"] if given["encoding"] == "pcm" or "rate" in wanted else 8000,
            turn_detection=None if given["turns"] == "none" else detection,
            deltas=given["interim"],
        )
        self.speech.choose_live(request)
        self._fields, self.request = wanted, request

    def take(self, part: Part) -> Iterator[LiveInput]:
        """Binary is audio, at once; a text counts when it is whole."""
        if isinstance(part.data, bytes | bytearray):
            yield from self.add(part.data)
            return
        if len(self._message) <= LONGEST_TEXT:
            self._message += part.data
        if part.finished:
            text, self._message = self._message, ""
            try:
                yield from self._obey(text)
            except ServiceError as error:
                self.tell_error(error)

    def _obey(self, text: str) -> Iterator[LiveInput]:
        if len(text) > LONGEST_TEXT:
            raise InvalidRequest(f"a text has at most {LONGEST_TEXT} characters; audio is sent in binary")
        said = {"type": text.strip()} if text.strip() in ("commit", "end") else read_json(text)
        kind = said.pop("type", "settings")
        if kind in ("commit", "end"):
            yield from self.flush()
            if self.since_turn >= LEAST_TURN_SECONDS or self.speaking:
                self._start = self._start if self.speaking else round(self.seconds - self.since_turn, 2)
                yield self.commit()
            if kind == "end":
                self.end = End(NORMAL)
        elif kind == "settings":
            yield from self.flush()
            self._read(said)
            yield self.request
        else:
            raise InvalidRequest("type must be one of commit, end, settings", "type")

    def tell(self, event: LiveEvent) -> None:
        """Only texts are told; turns are seen by their final one."""
        start, end = (round(self.offset + seconds, 2) for seconds in (event.start, event.end))
        if event.kind == "speech_started":
            self.speaking, self._start = True, start
        elif event.kind == "committed":
            self.speaking = False
        elif event.kind == "delta":
            self._text += event.text
            if self.request.deltas:
                self._send(text=self._text.strip(), final=False, start=self._start, end=end)
        elif event.kind == "completed":
            self._text = ""
            self._send(text=event.text.strip(), final=True, start=start, end=end, language=event.language)

    def tell_error(self, error: ServiceError) -> None:
        """In the envelope that every error has."""
        self._send(**envelope(error.status, error.code, error.message, error.param))

    def fail(self, error: ServiceError) -> bool:
        """The error is all that is told of a turn that was open."""
        was_open = self.turn_is_open() or self.committing
        self._text, self.speaking, self.since_turn, self.committing = "", False, 0.0, False
        if was_open:
            self.tell_error(error)
        return was_open

    def _send(self, **fields: Any) -> None:
        self.socket.send(json.dumps(fields, ensure_ascii=False))
