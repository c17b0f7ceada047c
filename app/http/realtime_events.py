"""OpenAI's Realtime API, transcription only: its events in both shapes, that of today (GA) and that of its beta."""

from __future__ import annotations

import base64
import json
import random
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

from ..errors import InputAudioBufferCommitEmpty, InvalidRequest, NoConversation, ServiceError, envelope
from ..server.websocket import Part
from ..speech.live import CLEAR, SERVER_VAD, LiveEvent, LiveInput, LiveRequest, TurnDetection
from . import params
from .live import LEAST_TURN_SECONDS, LONGEST_TEXT, Session, read_json
from .openai_audio import SNAPSHOT, TRANSCRIBING_MODELS, local_name
from .params import DETECTION, Choice, Language, Languages, Many, Number, Text, read_object

GA_INPUT = "session.audio.input"
# The beta's names for what GA has in `audio.input`.
BETA_NAMES = {
    "input_audio_format": "format",
    "input_audio_transcription": "transcription",
    "input_audio_noise_reduction": "noise_reduction",
    "turn_detection": "turn_detection",
}
# Of each format of audio its name in GA and in the beta, and what the engine calls it.
ENCODINGS = {
    "audio/pcm": ("pcm16", "pcm"),
    "audio/pcmu": ("g711_ulaw", "ulaw"),
    "audio/pcma": ("g711_alaw", "alaw"),
}
FORMAT = (
    Choice("type", "", "audio/pcm", of=tuple(ENCODINGS)),
    Number("rate", "", 24_000, least=8000, most=48_000, whole=True),
)
BETA_FORMAT = Choice("format", "", "pcm16", of=tuple(beta for beta, _ in ENCODINGS.values()))
TRANSCRIPTION = (
    Text("model", ""), Language("language", ""), Languages("languages[]", ""), Text("prompt", ""),
    Many("keywords[]", ""),
)  # fmt: skip
TURN_DETECTION = (Choice("type", "", "server_vad", of=("server_vad", "semantic_vad")), *DETECTION)
SHOWN_DETECTION = {
    "server_vad": ("type", "threshold", "prefix_padding_ms", "silence_duration_ms"),
    "semantic_vad": ("type", "eagerness"),
}
COMMITTING_MODELS = ("gpt-realtime-whisper", "gpt-live-transcribe")  # whose clients end turns by themselves
CONVERSATION = frozenset((
    "response.create", "response.cancel", "conversation.item.create", "conversation.item.delete",
    "conversation.item.retrieve", "conversation.item.truncate", "output_audio_buffer.clear",
))  # fmt: skip
LONGEST_ID = 512  # of a client's own for its event
# What may stand before the audio of an append that is read as it comes.
APPEND = re.compile(r'\s*\{(?:\s*"\w+"\s*:\s*(?:"[^"\\]*"|null|[0-9]+)\s*,)*?\s*"audio"\s*:\s*"')
HALF_AN_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{0,3})?\Z")


def new_id(kind: str) -> str:
    """As OpenAI's: no secret, only another each time."""
    return f"{kind}_{random.getrandbits(96):024x}"


class Configuration:
    """The settings of a session, as its client sees them and as the engine does."""

    def __init__(self, model: str = "") -> None:
        self.id = new_id("sess")
        self.transcription: dict[str, Any] = {}
        self.detection: dict[str, Any] | None = {}
        self.format: dict[str, Any] = {"type": "audio/pcm", "rate": 24_000}
        self.noise_reduction: Any = None
        self.include: list[Any] = []
        self.detection_given = False
        # Whatever else is named here, as Node's client does, begins a transcription all the same.
        if SNAPSHOT.sub("", model) in TRANSCRIBING_MODELS:
            self.transcription["model"] = model
        self.request = self._request()

    def updated(self, session: Mapping[str, Any], *, beta: bool) -> Configuration:
        """A configuration as this one, with what *session* has."""
        found = copy(self)
        found._take(session, beta=beta)
        found.request = found._request()
        return found

    def _take(self, session: Mapping[str, Any], *, beta: bool) -> None:
        if session.get("type") == "realtime":
            raise NoConversation(
                'session.type must be "transcription": there are no conversations here', "session.type"
            )
        if beta:
            given = {name: session[old] for old, name in BETA_NAMES.items() if old in session}
        else:
            given = read_object(read_object(session, "audio", "session"), "input", "session.audio")
        if isinstance(session.get("include"), list):
            self.include = session["include"]
        if "noise_reduction" in given:
            self.noise_reduction = given["noise_reduction"]
        if given.get("format") is not None:
            self.format = _read_format(given["format"])
        if "transcription" in given:
            wanted = read_object(given, "transcription", GA_INPUT)
            self.transcription = {**self.transcription, **wanted} if wanted else {}
        if "turn_detection" in given:
            self.detection_given = True
            wanted, before = read_object(given, "turn_detection", GA_INPUT), self.detection or {}
            if wanted.get("type", SERVER_VAD) != before.get("type", SERVER_VAD):
                before = {}
            self.detection = None if given["turn_detection"] is None else {**before, **wanted}

    def _request(self) -> LiveRequest:
        """What the engine is asked for; InvalidRequest names what is wrong."""
        with _within(f"{GA_INPUT}.transcription"):
            wanted = params.read(TRANSCRIPTION, self.transcription)
            model = local_name(wanted["model"])
        detection = None
        if not self.detection_given:
            committing = SNAPSHOT.sub("", wanted["model"] or "") in COMMITTING_MODELS
            self.detection = None if committing else {}
        if self.detection is not None:
            with _within(f"{GA_INPUT}.turn_detection"):
                asked = params.read(TURN_DETECTION, self.detection)
            detection = TurnDetection(asked.pop("type"), **asked)
        return LiveRequest(
            model=model,
            language=wanted["language"],
            languages=wanted["languages[]"],
            prompt=wanted["prompt"],
            hotwords=", ".join(wanted["keywords[]"]) or None,
            encoding=ENCODINGS[self.format["type"]][1],
            rate=self.format.get("rate", 8000),
            turn_detection=detection,
        )

    def shown(self, *, beta: bool) -> dict[str, Any]:
        """The session as its client sees it."""
        detection = None
        if (found := self.request.turn_detection) is not None:
            every = {"type": found.kind, **found._asdict()}
            detection = {name: every[name] for name in SHOWN_DETECTION[found.kind]}
        heard = {
            "format": ENCODINGS[self.format["type"]][0] if beta else self.format,
            "transcription": self.transcription or None,
            "noise_reduction": self.noise_reduction,
            "turn_detection": detection,
        }
        fixed = {"id": self.id, "object": "realtime.transcription_session", "include": self.include}
        if beta:
            return {**fixed, **{old: heard[name] for old, name in BETA_NAMES.items()}}
        return {**fixed, "type": "transcription", "audio": {"input": heard}}


def _read_format(given: Any) -> dict[str, Any]:
    if isinstance(given, str):  # the beta's
        name = BETA_FORMAT.read({"format": given})
        given = {"type": next(ga for ga, (old, _) in ENCODINGS.items() if old == name)}
    with _within(f"{GA_INPUT}.format"):
        if not isinstance(given, dict):
            raise InvalidRequest('must be an object such as {"type": "audio/pcm", "rate": 24000}')
        read = params.read(FORMAT, given)
    return read if read["type"] == "audio/pcm" else {"type": read["type"]}


@contextmanager
def _within(part: str) -> Iterator[None]:
    """What is wrong in a part of the session is said with the way to it."""
    try:
        yield
    except ServiceError as error:
        name = (error.param or "").removesuffix("[]")
        path = f"{part}.{name}" if name else part
        said = error.message.removeprefix(f"{error.param} ")
        between = ":" if said == error.message else ""
        raise type(error)(f"{path}{between} {said}", path) from None


class Append:
    """
    An append event that is read as it comes: its audio is given back in pieces, the rest is kept.

    What is no base64 is found out when it comes, and told when the event is whole.
    """

    def __init__(self, head: str) -> None:
        self._head, self._tail = head, ""
        self._kept = ""  # of the base64, what does not make three bytes yet
        self._in_audio, self._well = True, True

    def feed(self, text: str) -> bytes:
        """The audio in *text*, which comes next."""
        audio = b""
        if self._in_audio:
            before, quote, text = text.partition('"')
            audio = self._decode(before, last=bool(quote))
            self._in_audio = not quote
        if not self._in_audio and len(self._tail) <= LONGEST_TEXT:
            self._tail += text
        return audio

    def _decode(self, text: str, *, last: bool) -> bytes:
        text, self._kept = self._kept + text, ""
        if not self._well:
            return b""
        if not last and (half := HALF_AN_ESCAPE.search(text)):
            text, self._kept = text[: half.start()], half[0]
        try:
            if "\\" in text:  # some write / and + that way
                text = json.loads(f'"{text}"')
            if not last:
                whole = len(text) // 4 * 4
                text, self._kept = text[:whole], text[whole:] + self._kept
            audio = base64.b64decode(text, validate=True)
            self._well = last or not text.endswith("=")  # nothing comes behind the end
        except ValueError:
            self._well = False
            return b""
        return audio

    def event(self) -> dict[str, Any]:
        """The event without its audio, once it is whole."""
        event = read_json(f'{self._head}"{self._tail}')
        if self._in_audio or not self._well:
            event["audio"] = "?"  # no base64
        return event


class RealtimeSession(Session):
    """A session by OpenAI's protocol; *session* is what the key it began with was made for."""

    wire_bytes = 4 / 3  # base64

    def __init__(self, *, model: str, beta: bool, session: Mapping[str, Any]) -> None:
        super().__init__()
        self._beta = beta or "beta" in session
        self._configuration = Configuration(model)
        if session:
            kept = session.get("beta", session)
            self._configuration = self._configuration.updated(kept, beta="beta" in session)
        self.request = self._configuration.request
        self.speech.choose_live(self.request)
        self._expires_at = int(time.time() + 60 * self.settings.realtime_minutes)
        self._text = ""  # of a message that is not whole
        self._append: Append | None = None
        self._item = ""  # of the turn under way, where it has an id already
        self._previous: str | None = None
        self._committed: deque[str] = deque()  # items whose text is still to come
        self._event_id: str | None = None  # the client's, of the event that is obeyed
        self._commit_id: str | None = None  # and of the last commit

    def begin(self) -> None:
        """Clients wait for this one."""
        self._tell_session("created")

    def _tell_session(self, what: str) -> None:
        prefix = "transcription_session" if self._beta else "session"
        session = {**self._configuration.shown(beta=self._beta), "expires_at": self._expires_at}
        self._send(f"{prefix}.{what}", session=session)

    def _send(self, kind: str, **fields: Any) -> None:
        # In ASCII: a client's own texts may hold what UTF-8 does not.
        self.socket.send(json.dumps({"type": kind, "event_id": new_id("event"), **fields}))

    def take(self, part: Part) -> Iterator[LiveInput]:
        """Events may be of 15 MiB, nearly all of it audio: that of long ones goes on before they are whole."""
        self._event_id = None
        try:
            if not isinstance(part.data, str):
                if part.finished:
                    raise InvalidRequest("a message must be a text: audio is sent as base64 in JSON")
            elif self._append is not None:
                yield from self.add(self._append.feed(part.data))
            elif len(self._text) <= LONGEST_TEXT:
                self._text += part.data
                if len(self._text) > LONGEST_TEXT:
                    yield from self._begin_append()
            if part.finished:
                yield from self._finish()
        except ServiceError as error:
            self.tell_error(error, self._event_id)

    def _begin_append(self) -> Iterator[LiveInput]:
        found = APPEND.match(self._text)
        if found and ('"type"' not in found[0] or '"input_audio_buffer.append"' in found[0]):
            text, self._text = self._text, ""
            self._append = Append(found[0])
            yield from self.add(self._append.feed(text[found.end() :]))

    def _finish(self) -> Iterator[LiveInput]:
        text, self._text = self._text, ""
        append, self._append = self._append, None
        if len(text) > LONGEST_TEXT:
            most = f"a message has at most {LONGEST_TEXT} characters, unless it is input_audio_buffer.append"
            raise InvalidRequest(most)
        event = append.event() if append else read_json(text)
        sent_id = event.get("event_id")
        self._event_id = sent_id[:LONGEST_ID] if isinstance(sent_id, str) else None
        yield from self._obey(event, str(event.get("type")))

    def _obey(self, event: dict[str, Any], kind: str) -> Iterator[LiveInput]:
        if kind == "input_audio_buffer.append":
            audio = event.get("audio")
            try:
                yield from self.add(base64.b64decode(audio, validate=True))  # type: ignore[arg-type]
            except (ValueError, TypeError):
                raise InvalidRequest("audio must be a text in base64", "audio") from None
        elif kind == "input_audio_buffer.commit":
            yield from self._commit()
        elif kind == "input_audio_buffer.clear":
            self.pcm.clear()
            self.since_turn, self.lost = 0.0, None
            yield CLEAR
        elif kind in ("session.update", "transcription_session.update"):
            yield from self._update(read_object(event, "session"), beta=kind != "session.update")
        elif kind in CONVERSATION:
            raise NoConversation(f"{kind} needs a conversation, and here is transcription only", "type")
        else:
            known = (
                "session.update, transcription_session.update, input_audio_buffer.append, .commit or .clear"
            )
            raise InvalidRequest(f"type must be one of {known}", "type")

    def _update(self, session: dict[str, Any], *, beta: bool) -> Iterator[LiveInput]:
        yield from self.flush()  # what came before is in the format of before
        tried = self._configuration.updated(session, beta=beta)
        with _within(f"{GA_INPUT}.transcription"):
            self.speech.choose_live(tried.request)
        self._configuration, self.request, self._beta = tried, tried.request, beta
        yield self.request
        self._tell_session("updated")

    def _commit(self) -> Iterator[LiveInput]:
        yield from self.flush()
        lost, self.lost = self.lost, None
        if lost is not None:
            self.since_turn = 0.0
            yield CLEAR
            self._tell_committed()
            self._tell_failed(lost)
            return
        self._commit_id = self._event_id
        if self.since_turn >= LEAST_TURN_SECONDS or self.speaking:
            yield self.commit()
        else:
            self._tell_empty()

    def _tell_empty(self) -> None:
        empty = InputAudioBufferCommitEmpty(
            "input_audio_buffer.commit needs at least 100 ms of audio that was not committed before"
        )
        self.tell_error(empty, self._commit_id)

    def tell(self, event: LiveEvent) -> None:
        """In the order of OpenAI's events."""
        start, end = self.offset + event.start, self.offset + event.end
        if event.kind == "speech_started":
            self.speaking, self._item = True, self._item or new_id("item")
            self._send("input_audio_buffer.speech_started", item_id=self._item, audio_start_ms=_ms(start))
        elif event.kind == "speech_stopped":
            self._send("input_audio_buffer.speech_stopped", item_id=self._item, audio_end_ms=_ms(end))
        elif event.kind == "committed":
            self._tell_committed()
        elif event.kind == "delta":
            self._item = self._item or ("" if self._committed else new_id("item"))
            item_id = self._committed[0] if self._committed else self._item
            self._tell_text("delta", item_id, delta=event.text)
        elif event.kind == "completed":
            item_id = self._committed.popleft()
            usage = {"type": "duration", "seconds": round(end - start, 3)}
            languages = {"languages": [{"code": event.language}]} if self.request.languages else {}
            self._tell_text("completed", item_id, transcript=event.text, usage=usage, **languages)
        elif event.kind == "cleared":
            self.speaking, self._item = False, ""
            self._send("input_audio_buffer.cleared")
        elif event.kind == "empty":
            self._tell_empty()

    def _tell_text(self, what: str, item_id: str, **fields: Any) -> None:
        self._send(
            f"conversation.item.input_audio_transcription.{what}", item_id=item_id, content_index=0, **fields
        )

    def _tell_committed(self) -> None:
        item_id = self._item or new_id("item")
        before, self._previous = self._previous, item_id
        self.speaking, self._item = False, ""
        self._committed.append(item_id)
        self._send("input_audio_buffer.committed", item_id=item_id, previous_item_id=before)
        content = [{"type": "input_audio", "transcript": None}]
        item = {
            "id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user",
            "content": content,
        }  # fmt: skip
        for what in ("created",) if self._beta else ("added", "done"):
            self._send(f"conversation.item.{what}", previous_item_id=before, item=item)

    def fail(self, error: ServiceError) -> bool:
        """Each turn that began is committed, and each that was has its `failed`."""
        if self.speaking:
            self._send(
                "input_audio_buffer.speech_stopped", item_id=self._item, audio_end_ms=_ms(self.seconds)
            )
        if self.speaking or self.committing:
            self.committing = False
            self._tell_committed()
        elif self.request.turn_detection is None and self.since_turn >= LEAST_TURN_SECONDS:
            self.lost = error  # told when the turn is ended
        found = bool(self._committed or self.lost)
        while self._committed:
            self._tell_failed(error)
        return found

    def _tell_failed(self, error: ServiceError) -> None:
        self._tell_text("failed", self._committed.popleft(), error=_error(error))

    def tell_error(self, error: ServiceError, sent_id: str | None = None) -> None:
        """*sent_id* is of the event that was wrong."""
        self._send("error", error={**_error(error), "event_id": sent_id})


def _error(error: ServiceError) -> dict[str, Any]:
    found: Any = envelope(error.status, error.code, error.message, error.param)["error"]
    return {name: found[name] for name in ("type", "code", "message", "param")}


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
