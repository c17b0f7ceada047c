"""Our own API: audio in, text out; text in, audio out."""

import time
from contextlib import closing
from dataclasses import asdict

from flask import Blueprint, Response, jsonify, request

from ..checks import Check, overall
from ..errors import InvalidRequest, ServiceError
from ..voice.synthesis import ENGINES, SpeakRequest, Spoken
from ..voice.transcription import Segment, TranscriptionRequest
from . import fields
from .context import client_waits, services
from .uploads import Upload, receive_recording

TEST_SENTENCE = "This is a test of the speech service. If you can hear it, it works."

voice = Blueprint("voice", __name__, url_prefix="/api/v1/pam/voice")


@voice.post("/transcribe")
def transcribe() -> Response:
    """The text of a recording, with its segments."""
    given, upload = receive_recording()
    began = time.perf_counter()
    with closing(upload):
        transcription = services().speech.transcribe(_transcription_request(given, upload), client_waits())
        with closing(transcription):
            segments = [_segment(found) for found in transcription]
    seconds = time.perf_counter() - began
    response = jsonify(
        text=" ".join(str(segment["text"]) for segment in segments),
        language=transcription.language,
        duration=round(transcription.duration_seconds, 2),
        model=transcription.model,
        segments=segments,
    )
    response.headers["Server-Timing"] = f"transcribe;dur={seconds * 1000:.0f}"
    return response


def _segment(found: Segment) -> dict[str, object]:
    """A segment as our own API tells it; words only where they were asked for."""
    words = {"words": [asdict(word) for word in found.words]} if found.words else {}
    return {"start": round(found.start, 2), "end": round(found.end, 2), "text": found.text.strip(), **words}


def _transcription_request(given: fields.Fields, upload: Upload) -> TranscriptionRequest:
    beam_size = fields.number(given, "beam_size", least=1, most=10)
    return TranscriptionRequest(
        path=upload.path,
        task=fields.choice(given, "task", ("transcribe", "translate"), "transcribe"),
        language=fields.text(given, "language"),
        prompt=fields.text(given, "prompt"),
        hotwords=fields.text(given, "hotwords"),
        temperature=fields.number(given, "temperature", least=0, most=1),
        beam_size=int(beam_size) if beam_size else None,
        word_timestamps=fields.flag(given, "word_timestamps"),
        condition_on_previous_text=fields.flag(given, "condition_on_previous_text", True),
    )


@voice.post("/speak")
def speak() -> Response:
    """A text, spoken; the audio comes while it is made."""
    asked = _speak_request(request.form or fields.json_body())
    speech = services().speech
    if request.if_none_match and (tag := speech.synthesis.etag(asked, request.headers["If-None-Match"])):
        unchanged = Response(status=304)
        unchanged.set_etag(tag)
        return unchanged
    return _audio(speech.speak(asked, client_waits()))


def _speak_request(given: fields.Fields) -> SpeakRequest:
    said = given.get("text")
    if not isinstance(said, str):
        raise InvalidRequest('text is missing; send JSON such as {"text": "Hello."}', "text")
    speed = fields.number(given, "speed", least=0.25, most=4)
    pitch = fields.number(given, "pitch", least=0.5, most=2)
    return SpeakRequest(
        text=said,
        engine=fields.text(given, "engine"),
        voice=fields.text(given, "voice"),
        language=fields.text(given, "language"),
        speed=1.0 if speed is None else speed,
        pitch=1.0 if pitch is None else pitch,
        format=fields.text(given, "format", "mp3") or "mp3",
    )


def _audio(spoken: Spoken) -> Response:
    """The response for speech: who spoke, whether it was kept from before, and the bytes as they come."""
    response = Response(spoken.audio, mimetype=spoken.media_type)
    response.call_on_close(spoken.close)
    response.headers["X-TTS-Engine"] = spoken.engine
    response.headers["X-TTS-Voice"] = spoken.voice
    if spoken.fallback:
        response.headers["X-TTS-Fallback"] = "; ".join(spoken.fallback)
    response.headers["X-Cache"] = "hit" if spoken.cached else "miss"
    response.set_etag(spoken.etag)
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
    asked = SpeakRequest(text=TEST_SENTENCE, format="wav", streaming=False)
    return _audio(services().speech.speak(asked, client_waits()))


def _outcome(engine: str) -> dict[str, object]:
    """Whether *engine* speaks, how long its audio is, how long it took, and what was wrong."""
    began = time.perf_counter()
    asked = SpeakRequest(text=TEST_SENTENCE, engine=engine, format="wav", streaming=False)
    try:
        with closing(services().speech.speak(asked, client_waits())) as spoken:
            size = sum(len(chunk) for chunk in spoken.audio)
    except ServiceError as error:
        return {"engine": engine, "ok": False, "error": error.message, "seconds": _since(began)}
    return {
        "engine": engine,
        "ok": True,
        "voice": spoken.voice,
        "bytes": size,
        "duration": spoken.duration_seconds,
        "cached": spoken.cached,
        "seconds": _since(began),
    }


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)


@voice.get("/voices")
def voices() -> Response:
    """Every voice that can be asked for; `?language=` narrows it down."""
    found = services().speech.synthesis.voices(fields.text(request.args, "language"))
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
