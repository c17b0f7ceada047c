"""Live transcription: audio in as it is spoken, words out meanwhile; the values that go in and out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from ..engine.protocol import Header, Message
from ..engine.queueing import Wanted
from .routing import LocalModels
from .transcription import TranscriptionRequest

SERVER_VAD = "server_vad"


class TurnDetection(NamedTuple):
    """
    When a turn ends: after so much silence; with "semantic_vad" after more, where the sentence looks unfinished.

    *threshold* is the probability from which the detector's chunk counts as speech; *eagerness* is "low", "medium",
    "high" or "auto" and counts for "semantic_vad" only.
    """

    kind: str = SERVER_VAD
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    eagerness: str = "auto"


class LiveRequest(NamedTuple):
    """
    What is to be made of the audio of a live session.

    *encoding* is "pcm" (signed 16 bits, little-endian, mono, at *rate* Hz), "ulaw" or "alaw" (8 bits). Without a
    *model*, the first that can does it; without a *language* each turn's is heard, one of *languages* where there are
    any. Without *turn_detection* a turn ends with a Commit. Without *deltas* a turn's text comes at its end only.
    """

    model: str | None = None
    language: str | None = None
    languages: Sequence[str] = ()
    prompt: str | None = None
    hotwords: str | None = None
    encoding: str = "pcm"
    rate: int = 24000
    turn_detection: TurnDetection | None = TurnDetection()
    deltas: bool = True


def live_audio(samples: bytes, *, behind: bool = False) -> Message:
    """At most a second of audio; *behind*, where more of it already waits, so that deltas are left out."""
    return Message({"kind": "audio", "behind": behind}, samples)


COMMIT = Message({"kind": "commit"})  # what came since the last turn is a turn
CLEAR = Message({"kind": "clear"})  # what came since the last turn is dropped
LiveInput = Message | LiveRequest  # audio, COMMIT or CLEAR; a LiveRequest takes the place of the one before


class LiveEvent(NamedTuple):
    """
    Something that happened in a live session; *start* and *end* in seconds of its audio.

    *kind*: "speech_started" (start), "speech_stopped" (end), "committed" (start, end: a turn is over, and its text
    comes), "delta" (text: words that stand, to be joined to those before), "completed" (text of the whole turn,
    language, start, end; after each "committed", in the same order), "cleared", "empty" (a Commit with less than 100 ms
    of audio, which is no turn).
    """

    kind: str
    text: str = ""
    start: float = 0.0
    end: float = 0.0
    language: str | None = None


def as_recording(request: LiveRequest) -> TranscriptionRequest:
    """A recording that the same models can transcribe."""
    return TranscriptionRequest("", request.model, language=request.language, languages=request.languages)


def live(
    models: LocalModels, request: LiveRequest, inputs: Iterator[LiveInput], wanted: Wanted
) -> Generator[LiveEvent]:
    """
    What is heard in *inputs*, until they end; they are not closed, so that another call can go on with them.

    Another model goes on where a request asks for one, and where the first knows English only and hears something else.
    The errors of `LocalModels.choose` and `Engine.session`.
    """
    one, other = models.choose(as_recording(request))
    carried = Message({"begins_at": 0.0})
    moved = True

    def header() -> Header:
        turns = request.turn_detection
        return {
            **request._asdict(),
            "task": "live",
            "language": request.language or models.language,
            "languages": [*request.languages],
            "turn_detection": turns and turns._asdict(),
            "hand_over": other is not None,
            "begins_at": carried.header["begins_at"],
        }

    def questions() -> Iterator[Message]:
        nonlocal one, other, request
        if carried.payload:
            yield carried._replace(header={**carried.header, "kind": "carried"})
        for given in inputs:
            if isinstance(given, Message):
                yield given
                continue
            request = given
            first, second = models.choose(as_recording(request))
            if one not in (first, second):
                one, other = first, second
                yield Message({"kind": "leave"})
            else:
                yield Message({**header(), "kind": "request"})

    while moved:
        moved, asked = False, one
        with closing(one.engine.session(header(), wanted=wanted, questions=questions())) as messages:
            for message in messages:
                if message.header["kind"] != "handed_over":
                    found = message.header
                    yield LiveEvent(**{name: found[name] for name in LiveEvent._fields if name in found})
                    continue
                carried, moved = message, True
                if asked is one and other:  # it is not English
                    one, other = other, None
