"""Our own API: audio in, text out; text in, audio out."""

import base64
import json
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import closing

from flask import Blueprint, Response, jsonify, request

from ..checks import Check, overall
from ..errors import InvalidRequest, ServiceError
from ..speech.chain import SpeakRequest
from ..speech.formats import AUDIO
from ..speech.transcription import (
    Transcription,
    TranscriptionRequest,
    segment_dict,
    transcript_dict,
    transcription_dict,
)
from ..synthesizers import SYNTHESIZERS
from . import params, responses
from .hooks import AppResponse, client_waits, services
from .params import SPEAK, TRANSCRIBE, Fields, Text
from .requests import Upload, prefers_async, receive, receive_fields, receive_recording

TEST_SENTENCE = "This is a test of the speech service. If you can hear it, it works."
LARGEST_SPEECH = 1 << 31  # bytes, a day as mp3; TTS_MAX_CHARACTERS is what limits it
BASE64_BYTES = 3 << 14  # of audio at a time: without a rest, so that the pieces of text are one
# A WAV's, of unknown length, 24 kHz, 16 bits, mono: with it "pcm" can be heard again.
LONG = b"\xff\xff\xff\xff"
PCM_HEADER = (
    b"RIFF" + LONG + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 24000, 48000, 2, 16) + b"data" + LONG
)
VOICES = (Text("language", "only voices that speak it"),)
# What decides which engine a recording needs.
WARM = tuple(one for one in TRANSCRIBE if one.name in ("model", "task", "language", "languages"))

voice = Blueprint("voice", __name__, url_prefix="/api/v1/pam/voice")


@voice.post(
    "",
    summary="JSON with a text is spoken, anything else is a recording to transcribe",
    form=TRANSCRIBE,
    json=SPEAK,
    raw=True,
)
def front_door() -> Response:
    with receive(_expected) as (fields, upload):
        return _speak(fields) if upload is None else _transcribe(fields, upload)


@voice.post("/transcribe", summary="The text of a recording, with its segments", form=TRANSCRIBE, raw=True)
def transcribe() -> Response:
    with receive_recording(_expected) as (fields, upload):
        return _transcribe(fields, upload)


def _expected(fields: Fields) -> TranscriptionRequest:
    """What is probably asked for, by the fields that are here."""
    return TranscriptionRequest("", **params.read(WARM, fields))


@voice.post(
    "/warm",
    summary="Have the engine started that a recording will need, as one is about to come",
    json=WARM,
)
def warm_up() -> Response:
    engine = services().speech.warm(_expected(receive_fields(example='{"language": "en"}')))
    if engine is None:
        return jsonify(status="another server transcribes")
    state = engine.state()
    return jsonify(status="warm", engine=state.name, model=state.model, state=state.state)


def _transcribe(fields: Fields, upload: Upload) -> Response:
    options = params.read(TRANSCRIBE, fields)
    return responses.transcript_response(fields, upload, options, transcript_dict, _events)


def _events(transcription: Transcription) -> Iterator[bytes]:
    """Each segment as it is found, then what is known at the end."""
    found = []
    for segment in transcription:
        found.append(segment)
        yield responses.event({"type": "segment", **segment_dict(segment)})
    yield responses.event({"type": "done", **transcription_dict(transcription, found)})


@voice.post("/speak", summary="A text as speech; the audio is sent while it is made", json=SPEAK)
def speak() -> Response:
    return _speak(receive_fields())


def _speak(fields: Fields) -> Response:
    wanted = SpeakRequest(**params.read(SPEAK, fields))
    if wanted.timestamps:
        return _timed(wanted)
    if prefers_async():
        return responses.enqueue_text(wanted, fields)
    synthesis = services().speech.synthesis
    if request.if_none_match and (tag := synthesis.etag(wanted, request.headers["If-None-Match"])):
        unchanged = Response(status=304)
        unchanged.set_etag(tag)
        return unchanged
    return responses.audio_response(responses.begin_speech(wanted))


def _timed(wanted: SpeakRequest) -> Response:
    """JSON: the words with their times, and the audio in base64, which is sent in pieces."""
    if prefers_async():
        raise InvalidRequest(
            "timestamps: a job has none; ask for them without Prefer: respond-async", "timestamps"
        )
    with Upload(LARGEST_SPEECH) as upload:
        with closing(responses.begin_speech(wanted._replace(stream=False))) as spoken:
            header = PCM_HEADER if wanted.format == "pcm" else b""
            upload.write(header)
            for chunk in spoken.audio:
                upload.write(chunk)
        words = services().speech.word_times(spoken, wanted.text, upload.path, client_waits())
        facts = {
            "engine": spoken.engine,
            "voice": spoken.voice,
            "format": wanted.format,
            "duration": spoken.duration_seconds,
            "words": [dict(zip(("word", "start", "end"), word, strict=True)) for word in words],
        }
        upload.file.seek(len(header))
        response = AppResponse(_with_audio(facts, upload), mimetype="application/json")
        response.call_on_close(upload.close)
        upload.streamed = True
        return response


def _with_audio(facts: Mapping[str, object], upload: Upload) -> Iterator[bytes]:
    yield json.dumps(facts)[:-1].encode() + b', "audio": "'
    while chunk := upload.file.read(BASE64_BYTES):
        yield base64.b64encode(chunk)
    yield b'"}'


@voice.route(
    "/test",
    methods=["GET", "POST"],
    summary="A spoken test sentence; with Accept: application/json, whether each synthesizer works",
)
def test() -> Response:
    if request.accept_mimetypes.best_match(["audio/wav", "application/json"]) == "application/json":
        return jsonify(
            text=TEST_SENTENCE,
            engines=[_outcome(engine) for engine in services().speech.synthesis.chain.voices.engines],
        )
    return responses.audio_response(
        responses.begin_speech(SpeakRequest(text=TEST_SENTENCE, format="wav", stream=False))
    )


def _outcome(engine: str) -> dict[str, object]:
    """Whether *engine* speaks, how long its audio is, how long it took, and what was wrong."""
    began = time.perf_counter()
    sentence = SpeakRequest(text=TEST_SENTENCE, engine=engine, format="wav", stream=False)
    try:
        with closing(responses.begin_speech(sentence)) as heard:
            size = sum(len(chunk) for chunk in heard.audio)
        duration, cached = heard.duration_seconds, heard.cached
        found = {"ok": True, "voice": heard.voice, "bytes": size, "duration": duration, "cached": cached}
    except ServiceError as error:
        found = {"ok": False, "error": error.message}
    return {"engine": engine, **found, "seconds": round(time.perf_counter() - began, 3)}


@voice.get("/voices", summary="Every voice", query=VOICES)
def voices() -> Response:
    found = services().speech.synthesis.voices(params.read(VOICES, request.args)["language"])
    shown = ("id", "name", "language", "engine", "offline", "gender", "quality")
    engines = {}
    for spec in map(SYNTHESIZERS.__getitem__, dict.fromkeys(one.engine for one in found)):
        engines[spec.name] = {
            "label": spec.label,
            "quality": spec.quality,
            "megabytes": spec.disk_mb,
            "licence": spec.licence,
            "languages": sorted({one.language for one in found if one.engine == spec.name}),
            "memory_mb": spec.memory_mb,
        }
    return jsonify(
        voices=[{name: getattr(one, name) for name in shown} for one in found],
        languages=sorted({one.language for one in found}),
        engines=engines,
        formats={name: row.media_type for name, row in AUDIO.items()},
    )


@voice.get("/health", summary="The engines, whether they work, and why not; starts none")
def condition() -> Response:
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
        breakers={name: breaker.state for name, breaker in speech.synthesis.breakers.items()},
        engines=[engine.state()._asdict() for engine in speech.engines],
    )


def _shown(check: Check) -> dict[str, str]:
    return {"status": overall([check]), "reason": check.reason}
