"""Our own API: audio in, text out; text in, audio out."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request

from ..checks import Check, overall
from ..errors import ServiceError, UnsupportedFormat
from ..speech.audio_stream import Spoken
from ..speech.chain import ENGINES, SpeakRequest
from ..speech.chain import FORMATS as AUDIO_FORMATS
from ..speech.serializers import told_facts, told_segment
from ..speech.transcription import Transcription, TranscriptionRequest
from . import async_jobs, params
from .auth import meter
from .hooks import client_waits, services
from .params import Choice, Flag, Number, Recording, Text
from .sse import event
from .transcripts import MEDIA_TYPES, answered, language_code, streamed, written
from .uploads import receive_recording

TEST_SENTENCE = "This is a test of the speech service. If you can hear it, it works."

voice = Blueprint("voice", __name__, url_prefix="/api/v1/pam/voice")

STREAM = Flag("stream", "server-sent events as segments are found", False)
TRANSCRIBE = (
    Recording("audio", "the recording; the field may be called file, too", required=True),
    Choice(
        "format",
        "what is answered: JSON, plain text or subtitles",
        "json",
        of=("json", *MEDIA_TYPES),
        refusal=UnsupportedFormat,
    ),
    STREAM,
    Choice("task", "translate: into English", "transcribe", of=("transcribe", "translate")),
    Text("language", "ISO 639-1 code or English name; heard when it is not given"),
    Text("prompt", "text that came before, in the style the answer should have"),
    Text("hotwords", "words that may come up"),
    Number("temperature", "0 starts greedy and rises where the text turns out improbable", most=1),
    Number("beam_size", "hypotheses kept while decoding; WHISPER_BEAM_SIZE", least=1, most=10, whole=True),
    Flag("word_timestamps", "when each word was said, too", False),
    Flag("condition_on_previous_text", "each window is told what the one before said", True),
)
SPEAK = (
    Text("text", 'the text to speak, such as {"text": "Hello."}', required=True),
    Text("engine", "gtts, neural, espeak, or auto: the first that can; TTS_ENGINE"),
    Text("voice", "a voice's id or name; GET /api/v1/pam/voice/voices lists them"),
    Text("language", "language tag of the text; TTS_LANGUAGE"),
    Choice("format", "the audio's format", "mp3", of=AUDIO_FORMATS, refusal=UnsupportedFormat),
    Number("speed", "1.0 is the voice's own", 1.0, least=0.25, most=4),
    Number("pitch", "1.0 is the voice's own; espeak-ng only", 1.0, least=0.5, most=2),
    Flag("stream", "false: the audio is sent when it is whole, with its length", True),
)
VOICES = (Text("language", "only voices that speak it"),)


@voice.post("/transcribe")
def transcribe() -> Response:
    """The text of a recording, with its segments."""
    if async_jobs.is_asked_for():
        return async_jobs.recording(transcription_asked)
    given, upload = receive_recording()
    with ExitStack() as until_answered:
        until_answered.enter_context(closing(upload))
        asked, format = transcription_asked(given)
        stream = STREAM.read(given)
        wanted = TranscriptionRequest(path=upload.path, **asked)
        if stream:
            until_answered.pop_all()
            return streamed(wanted, upload, _events)
        if format in MEDIA_TYPES:
            return answered(wanted, lambda _, segments: written(segments, format))
        return answered(
            wanted,
            lambda done, found: jsonify(
                **told_facts(done, found), segments=[told_segment(one) for one in found]
            ),
        )


def transcription_asked(given: params.Fields) -> tuple[dict[str, Any], str]:
    """What a TranscriptionRequest is made of beside the recording's path, and the format of the answer."""
    asked = params.read(TRANSCRIBE, given)
    del asked["stream"]
    asked["language"] = language_code(asked["language"])
    return asked, asked.pop("format")


def _events(transcription: Transcription) -> Iterator[bytes]:
    """Each segment as it is found, then what is known at the end."""
    found = []
    for segment in transcription:
        found.append(segment)
        yield event({"type": "segment", **told_segment(segment)})
    yield event({"type": "done", **told_facts(transcription, found)})


@voice.post("/speak")
def speak() -> Response:
    """A text, spoken; the audio comes while it is made."""
    given = request.form or params.json_body()
    asked = SpeakRequest(**params.read(SPEAK, given))
    if async_jobs.is_asked_for():
        return async_jobs.text(asked, given)
    speech = services().speech
    if request.if_none_match and (tag := speech.synthesis.etag(asked, request.headers["If-None-Match"])):
        unchanged = Response(status=304)
        unchanged.set_etag(tag)
        return unchanged
    return audio(spoken(asked))


def spoken(asked: SpeakRequest) -> Spoken:
    """What the service says to *asked*, charged to whoever asks."""
    return meter().spoken(services().speech.speak(asked, client_waits()), asked.text)


def audio(spoken: Spoken) -> Response:
    """The response for speech: who spoke, whether it was kept from before, and the bytes as they come."""
    response = Response(spoken.audio, mimetype=spoken.media_type)
    response.call_on_close(spoken.close)
    response.headers["X-TTS-Engine"] = spoken.engine
    response.headers["X-TTS-Voice"] = spoken.voice
    if spoken.fallback:
        reasons = " ".join("; ".join(spoken.fallback).split())  # a header is one line of plain letters
        response.headers["X-TTS-Fallback"] = reasons.encode("ascii", "replace").decode()
    if spoken.skipped:
        response.headers["X-TTS-Skipped"] = ", ".join(f"{what}={n}" for what, n in spoken.skipped.items())
    response.headers["X-Cache"] = "hit" if spoken.cached else "miss"
    # Weak while it is streamed: the header of the kept file will say how long it is.
    response.set_etag(spoken.etag, weak=spoken.size_bytes is None)
    if spoken.size_bytes is not None:
        response.content_length = spoken.size_bytes
    if spoken.duration_seconds is not None:
        response.headers["X-Audio-Duration"] = f"{spoken.duration_seconds:.2f}"
    return response


@voice.route("/test", methods=["GET", "POST"])
def test() -> Response:
    """A test sentence, as audio; where JSON is asked for, each engine's outcome and time instead."""
    if request.accept_mimetypes.best_match(["audio/wav", "application/json"]) == "application/json":
        return jsonify(text=TEST_SENTENCE, engines=[_outcome(engine) for engine in ENGINES])
    asked = SpeakRequest(text=TEST_SENTENCE, format="wav", stream=False)
    return audio(spoken(asked))


def _outcome(engine: str) -> dict[str, object]:
    """Whether *engine* speaks, how long its audio is, how long it took, and what was wrong."""
    began = time.perf_counter()
    asked = SpeakRequest(text=TEST_SENTENCE, engine=engine, format="wav", stream=False)
    try:
        with closing(spoken(asked)) as heard:
            size = sum(len(chunk) for chunk in heard.audio)
    except ServiceError as error:
        return {"engine": engine, "ok": False, "error": error.message, "seconds": _since(began)}
    return {
        "engine": engine,
        "ok": True,
        "voice": heard.voice,
        "bytes": size,
        "duration": heard.duration_seconds,
        "cached": heard.cached,
        "seconds": _since(began),
    }


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)


@voice.get("/voices")
def voices() -> Response:
    """Every voice that can be asked for; `?language=` narrows it down."""
    found = services().speech.synthesis.voices(params.read(VOICES, request.args)["language"])
    shown = ("id", "name", "language", "engine", "offline")
    return jsonify(
        voices=[{name: getattr(one, name) for name in shown} for one in found],
        languages=sorted({one.language for one in found}),
    )


@voice.get("/health")
def condition() -> Response:
    """The engines, what they can do now, and what keeps them from it; wakes none."""
    speech = services().speech
    checks = speech.checks()
    return jsonify(
        status=overall(checks),
        transcription={
            "model": speech.transcriber.model if speech.transcriber else None,
            **_shown(checks[0]),
        },
        synthesis=_shown(checks[1]),
        synthesizers={check.name: _shown(check) for check in speech.synthesis.checks()},
        breakers={"gtts": speech.synthesis.breaker.state},
        engines=[asdict(engine.state()) for engine in speech.engines],
    )


def _shown(check: Check) -> dict[str, str]:
    return {"status": check.status, "reason": check.reason}


@voice.post("")
def front_door() -> Response:
    """JSON with a text is spoken, anything else is a recording to transcribe."""
    if request.mimetype == "application/json":
        return speak()
    return transcribe()
