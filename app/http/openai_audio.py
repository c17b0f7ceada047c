"""The same two services by OpenAI's API, so that its clients work with another base URL."""

import base64
import math
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

from flask import Blueprint, Response, jsonify

from ..errors import InvalidRequest, ModelCannotTranslate, ModelNotFound, ServiceError, UnsupportedFormat
from ..speech import languages, whisper_languages
from ..speech.audio import SynthesisResult
from ..speech.chain import FORMATS as AUDIO_FORMATS
from ..speech.chain import SpeakRequest
from ..speech.serializers import join_text
from ..speech.transcription import Segment, Transcription, TranscriptionRequest
from . import async_jobs, params
from .hooks import services
from .params import Choice, Choices, Field, Flag, Name, Number, Recording, Text
from .requests import Upload, language_code, prefers_async, receive_fields, receive_recording
from .responses import (
    MEDIA_TYPES,
    audio_response,
    begin_speech,
    finish_transcription,
    render_transcript,
    stream_transcript,
)
from .sse import error_event, event, event_stream

openai_audio = Blueprint("openai_audio", __name__, url_prefix="/v1")

TRANSCRIBING_MODELS = (
    "whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize",
)  # fmt: skip
SPEAKING_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")  # a dated version of a model
VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin",
    "cedar",
)  # fmt: skip

FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
SEGMENT_FIELDS = tuple(name for name in Segment.__dataclass_fields__ if name not in ("id", "words"))
EVENT_BYTES = 24_576  # of audio: some clients take no line over 64 KiB

TRANSLATION = (
    Recording("file", "the recording, in any container browsers and phones record", required=True),
    Text("model", "one of OpenAI's names, or the local model's", required=True),
    Text("prompt", "text that came before, in the style the answer should have"),
    Choice("response_format", "diarized_json is refused", "json", of=FORMATS, refusal=UnsupportedFormat),
    Number("temperature", "0: greedy, and rising if the text is improbable", most=1),
)
TRANSCRIPTION = (
    *TRANSLATION,
    Text("language", "ISO 639-1 code or English name; detected if it is not given"),
    Choices("timestamp_granularities[]", "what verbose_json lists", ["segment"], of=("segment", "word")),
    Flag("stream", "server-sent events as segments are found", False),
    Field("include[]"),
    Field("chunking_strategy"),
    Field("keywords[]"),
    Field("languages[]"),
    Field("known_speaker_names[]"),
    Field("known_speaker_references[]"),
)
SPEECH = (
    Text("input", "the text to speak", required=True, longest=4096),
    Text("model", "one of OpenAI's names, or a local engine's", required=True),
    Name("voice", 'one of OpenAI\'s names, a local voice, or {"id": "..."}', required=True),
    Choice("response_format", "the audio's format", "mp3", of=AUDIO_FORMATS),
    Number("speed", "1.0 is the voice's own", 1.0, least=0.25, most=4),
    Choice("stream_format", "audio, or sse for server-sent events", "audio", of=("audio", "sse")),
    Text("language", "language tag of the text; not in OpenAI's API"),
    Field("instructions"),
)


@openai_audio.post("/audio/transcriptions", summary="What is said in a recording", form=TRANSCRIPTION)
def transcriptions() -> Response:
    return _transcript("transcribe", TRANSCRIPTION)


@openai_audio.post(
    "/audio/translations",
    summary="What is said in a recording, in English; needs a multilingual model",
    form=TRANSLATION,
)
def translations() -> Response:
    return _transcript("translate", TRANSLATION)


def _transcript(task: str, table: Iterable[Field]) -> Response:
    fields, upload = receive_recording(async_jobs.upload_place() if prefers_async() else Upload)
    stream = False
    try:
        asked = {"timestamp_granularities[]": ["segment"], "stream": False, **params.read(table, fields)}
        _check_model(asked["model"], task)
        format, options = asked["response_format"], _options(task, asked)
        if prefers_async():  # the formats of a job's result are our own API's
            format = format if format in MEDIA_TYPES else "json"
            return async_jobs.enqueue_recording(fields, upload, options, format)
        wanted = TranscriptionRequest(path=upload.path, **options)
        if stream := asked["stream"]:
            return stream_transcript(wanted, upload, _events)
        done, segments = finish_transcription(wanted)
        if format in MEDIA_TYPES:
            return render_transcript(segments, format, done.duration_seconds)
        if format == "json":
            return jsonify(text=join_text(segments), usage=_usage(done))
        return jsonify(_verbose(done, segments, task, asked["timestamp_granularities[]"]))
    finally:
        if not stream:
            upload.close()


def _options(task: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What a TranscriptionRequest is made of, but for the recording's path."""
    return {
        "task": task,
        "language": language_code(asked.get("language")),
        "prompt": asked["prompt"],
        "temperature": asked["temperature"],
        "word_timestamps": "word" in asked["timestamp_granularities[]"],
    }


def _check_model(name: str, task: str) -> None:
    """ModelNotFound for an unknown name, ModelCannotTranslate for one of English only; wakes no engine."""
    transcriber = services().speech.transcriber
    local = transcriber.model if transcriber else ""
    known = tuple(dict.fromkeys((*TRANSCRIBING_MODELS, *_transcribing())))
    if SNAPSHOT.sub("", name) not in known:
        raise _unknown_model(name, known)
    if task == "translate" and local.endswith(".en"):
        raise ModelCannotTranslate(
            f"the model {local} knows English only; set WHISPER_MODEL to one without .en, such as base",
            "model",
        )


def _verbose(
    done: Transcription, segments: list[Segment], task: str, granularities: list[str]
) -> dict[str, object]:
    """The answer as `verbose_json`."""
    answer: dict[str, object] = {
        "task": task,
        "language": "english" if task == "translate" else whisper_languages.name(done.language),
        "duration": round(done.duration_seconds, 2),
        "text": join_text(segments),
    }
    if "segment" in granularities:
        answer["segments"] = [_segment(number, segment) for number, segment in enumerate(segments)]
    if "word" in granularities:
        answer["words"] = [
            {"word": word.word.strip(), "start": word.start, "end": word.end}
            for segment in segments
            for word in segment.words
        ]
    return {**answer, "usage": _usage(done)}


def _segment(number: int, segment: Segment) -> dict[str, object]:
    """The ten fields clients check for, none null."""
    return {"id": number, **{name: getattr(segment, name) for name in SEGMENT_FIELDS}}


def _events(transcription: Transcription) -> Iterator[bytes]:
    """The events of a transcript; joined, the deltas are its text."""
    said = ""
    for segment in transcription:
        delta = segment.text if said else segment.text.lstrip()
        said += delta
        yield event({"type": "transcript.text.delta", "delta": delta})
    yield event({"type": "transcript.text.done", "text": said, "usage": _usage(transcription)})


def _usage(done: Transcription) -> dict[str, object]:
    """What OpenAI would bill: begun seconds."""
    return {"type": "duration", "seconds": math.ceil(done.duration_seconds)}


@openai_audio.post("/audio/speech", summary="A text, spoken", json=SPEECH)
def speech() -> Response:
    fields = receive_fields("input", '{"model": "tts-1", "voice": "alloy", "input": "Hello."}')
    asked = params.read(SPEECH, fields)
    engine = _engine(asked["model"])
    request = SpeakRequest(
        text=asked["input"],
        engine=engine,
        voice=_voice(asked["voice"], engine, asked["language"]),
        language=asked["language"],
        speed=asked["speed"],
        format=asked["response_format"],
    )
    try:
        if prefers_async():
            return async_jobs.enqueue_text(request, fields)
        said = begin_speech(request)
    except InvalidRequest as error:
        raise _reworded(error) from None
    if asked["stream_format"] == "sse":
        return event_stream(_audio_events(said, asked["input"]))
    return audio_response(said)


def _reworded(error: InvalidRequest) -> InvalidRequest:
    """*error* with the field's name in OpenAI's API, and its voices beside our own."""
    message = error.message.replace("text:", "input:", 1)
    if error.param == "voice":
        message += f". Here also: {', '.join(VOICES)}"
    return type(error)(message, "input" if error.param == "text" else error.param)


def _engine(model: str) -> str | None:
    """The synthesizer a model's name stands for; None leaves the choice to the service."""
    if SNAPSHOT.sub("", model) in SPEAKING_MODELS:
        return None
    engines = services().speech.synthesis.chain.engines
    if model not in engines:
        raise _unknown_model(model, (*SPEAKING_MODELS, *engines))
    return model


def _voice(name: str, engine: str | None, language: str | None) -> str | None:
    """
    The local voice for *name*. OpenAI's names are spread over what the first engine has for the language;
    None, the engine's own choice, where that is one voice.
    """
    if name not in VOICES:
        return name
    chain, settings = services().speech.synthesis.chain, services().settings
    first = engine or (chain.engines[0] if settings.tts_engine == "auto" else settings.tts_engine)
    tag = language or settings.tts_language
    voices = (voice for voice in chain.voices.all if voice.engine == first)
    speaking = [voice.id for voice in voices if languages.same(voice.language, tag)]
    return speaking[VOICES.index(name) % len(speaking)] if len(speaking) > 1 else None


def _audio_events(spoken: SynthesisResult, text: str) -> Generator[bytes]:
    """The audio as events. There are no tokens here: the words of the text stand for them."""
    words = len(text.split())
    with closing(spoken):
        try:
            for chunk in spoken.audio:
                for begin in range(0, len(chunk), EVENT_BYTES):
                    encoded = base64.b64encode(chunk[begin : begin + EVENT_BYTES]).decode()
                    yield event({"type": "speech.audio.delta", "audio": encoded})
        except ServiceError as error:
            yield error_event(error)
            return
    usage = {"input_tokens": words, "output_tokens": 0, "total_tokens": words}
    yield event({"type": "speech.audio.done", "usage": usage})


@openai_audio.get("/models", summary="Every model")
def models() -> Response:
    return jsonify(object="list", data=[_model(name) for name in (*_transcribing(), *_speaking())])


@openai_audio.get("/models/<path:name>", summary="One model")
def model(name: str) -> Response:
    known, name = (*_transcribing(), *_speaking()), name.rstrip("/")
    if name not in known:
        raise _unknown_model(name, known)
    return jsonify(_model(name))


@openai_audio.get("/audio/models", summary="The models that speak")
def speaking_models() -> Response:
    return jsonify(models=[{"id": name} for name in _speaking()])


@openai_audio.get("/audio/voices", summary="OpenAI's voices and every local one")
def voices() -> Response:
    chain = services().speech.synthesis.chain
    shown = [(name, name.capitalize()) for name in VOICES]
    shown += [(voice.id, voice.name) for voice in chain.voices.all if voice.engine in chain.engines]
    return jsonify(voices=[{"id": id, "name": name} for id, name in shown])


def _unknown_model(name: str, known: Iterable[str]) -> ModelNotFound:
    return ModelNotFound(f"the model {name!r} does not exist; accepted are {', '.join(known)}", "model")


def _transcribing() -> tuple[str, ...]:
    """The models transcription can be asked of; none where it is off."""
    transcriber = services().speech.transcriber
    return tuple(dict.fromkeys((transcriber.model, *TRANSCRIBING_MODELS))) if transcriber else ()


def _speaking() -> tuple[str, ...]:
    return (*SPEAKING_MODELS, *services().speech.synthesis.chain.engines)


def _model(name: str) -> dict[str, object]:
    owner = "openai" if name in (*TRANSCRIBING_MODELS, *SPEAKING_MODELS) else "local"
    return {"id": name, "object": "model", "created": int(services().started_at), "owned_by": owner}
