"""The same two services by OpenAI's API, so that its clients work with another base URL."""

import base64
import math
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify

from ..config import Settings
from ..errors import Forbidden, InvalidRequest, ModelNotFound, ServiceError, UnsupportedFormat
from ..speech import languages
from ..speech.audio import SynthesisResult
from ..speech.chain import SpeakRequest
from ..speech.formats import AUDIO, TRANSCRIPTS
from ..speech.models import CATALOGUE, find
from ..speech.transcription import Segment, Transcription, TranscriptionRequest, join_text
from ..speech.voices import OPENAI_VOICES
from . import params, responses
from .hooks import client_waits, services
from .params import Choice, Field, Flag, Language, Languages, Many, Name, Number, Recording, Text
from .requests import prefers_async, receive_fields, receive_recording

openai_audio = Blueprint("openai_audio", __name__, url_prefix="/v1")
# The same routes once more: Groq's client has the first path built in, and some clients strip the /v1.
ALIASES = {"alias": "/openai/v1", "bare_alias": ""}

TRANSCRIBING_MODELS = (
    "whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize", "gpt-transcribe",
    "gpt-live-transcribe", "gpt-realtime-whisper",
)  # fmt: skip
SPEAKING_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")  # a dated version of a model
RESPONSE_FORMATS = (*(name for name, one in TRANSCRIPTS.items() if one.openai), "verbose_json")
# With an id the ten fields clients check for, none null.
SEGMENT_FIELDS = tuple(name for name in Segment._fields if name not in ("id", "words"))
EVENT_BYTES = 24_576  # of audio: some clients take no line over 64 KiB

TRANSLATION = (
    Recording("file", "the recording, in any container browsers and phones record", required=True),
    Text("model", "one of OpenAI's names, or a local model's", required=True),
    Text("prompt", "text that came before, in the style the answer should have"),
    Choice(
        "response_format", "diarized_json is refused", "json", of=RESPONSE_FORMATS, refusal=UnsupportedFormat
    ),
    Number("temperature", "0: greedy, and rising if the text is improbable", most=1),
)
TRANSCRIPTION = (
    *TRANSLATION,
    Language("language", "ISO 639-1 code or English name; detected if it is not given"),
    Many("timestamp_granularities[]", "what verbose_json lists", ("segment",), of=("segment", "word")),
    Flag("stream", "server-sent events as segments are found", False),
    Many("keywords[]", "words that are likely to occur"),
    Languages(
        "languages[]", "the languages it may be, where it is detected; the answer then says which it is"
    ),
    Field("include[]"),
    Field("chunking_strategy"),
    Field("known_speaker_names[]"),
    Field("known_speaker_references[]"),
)
SPEECH = (
    Text("input", "the text to speak", required=True, longest=4096),
    Text("model", "one of OpenAI's names, or a local engine's", required=True),
    Name("voice", 'one of OpenAI\'s names, a local voice, or {"id": "..."}', required=True),
    Choice("response_format", "the audio's format", "mp3", of=tuple(AUDIO)),
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
    with receive_recording(partial(_expected, task)) as (fields, upload):
        given = {"timestamp_granularities[]": ["segment"], "stream": False, **params.read(table, fields)}
        # Both kinds of JSON are made by `_json`; of a job it is our own API's.
        format = given["response_format"].removeprefix("verbose_")
        options = {**_options(task, given), "format": format, "stream": given["stream"]}
        json_of, events_of = partial(_json, given, task), partial(_events, given)
        return responses.transcript_response(fields, upload, options, json_of, events_of)


def _expected(task: str, fields: params.Fields) -> TranscriptionRequest:
    """What is probably asked for, by the fields that are here; Node's client sends them behind the file."""
    given = params.read(TRANSCRIPTION, {"model": "whisper-1", **fields})
    return TranscriptionRequest("", **_options(task, given))


def _options(task: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a TranscriptionRequest is made of, but for the recording's path."""
    return {
        "model": local_name(given["model"]),
        "task": task,
        "language": given.get("language"),
        "languages": given.get("languages[]", []),
        "prompt": given["prompt"],
        "hotwords": ", ".join(given.get("keywords[]", ())) or None,
        "temperature": given["temperature"],
        "word_timestamps": "word" in given["timestamp_granularities[]"],
    }


def local_name(name: str | None) -> str | None:
    """The model here that *name* stands for, None for OpenAI's, which leave the choice; ModelNotFound for no name."""
    if name is None or SNAPSHOT.sub("", name) in TRANSCRIBING_MODELS:
        return None
    if name not in (known := _transcribing()) and all(name != one.path for one in services().speech.models):
        raise _unknown_model(name, dict.fromkeys((*known, *TRANSCRIBING_MODELS)))
    return name if services().speech.models else None


def _json(
    given: dict[str, Any], task: str, done: Transcription, segments: list[Segment]
) -> dict[str, object]:
    """The answer as `json` or `verbose_json`."""
    brief = {"text": join_text(segments), "usage": _usage(done), **_languages(given, done)}
    if given["response_format"] == "json":
        return brief
    granularities = given["timestamp_granularities[]"]
    answer: dict[str, object] = {
        "task": task,
        "model": done.model,
        "language": "english" if task == "translate" else languages.whisper_name(done.language),
        "duration": round(done.duration_seconds, 2),
    }
    if "segment" in granularities:
        answer["segments"] = [
            {"id": number, **{name: getattr(segment, name) for name in SEGMENT_FIELDS}}
            for number, segment in enumerate(segments)
        ]
    if "word" in granularities:
        answer["words"] = [
            {"word": word.word.strip(), "start": word.start, "end": word.end}
            for segment in segments
            for word in segment.words
        ]
    return {**brief, **answer}


def _languages(given: dict[str, Any], done: Transcription) -> dict[str, object]:
    """What `gpt-transcribe` says of the language, also of any model that was told which it may be."""
    if SNAPSHOT.sub("", given["model"]) != "gpt-transcribe" and not given.get("languages[]"):
        return {}
    return {"languages": [{"code": done.language}] if done.language else []}


def _events(given: dict[str, Any], transcription: Transcription) -> Iterator[bytes]:
    """The events of a transcript; joined, the deltas are its text."""
    said = ""
    for segment in transcription:
        delta = segment.text if said else segment.text.lstrip()
        said += delta
        yield responses.event({"type": "transcript.text.delta", "delta": delta})
    done = {"type": "transcript.text.done", "text": said, "usage": _usage(transcription)}
    yield responses.event({**done, **_languages(given, transcription)})


def _usage(done: Transcription) -> dict[str, object]:
    """What OpenAI would bill: begun seconds."""
    return {"type": "duration", "seconds": math.ceil(done.duration_seconds)}


@openai_audio.post("/audio/speech", summary="A text, spoken", json=SPEECH)
def speech() -> Response:
    fields = receive_fields("input", '{"model": "tts-1", "voice": "alloy", "input": "Hello."}')
    given = params.read(SPEECH, fields)
    engine = _engine(given["model"])
    request = SpeakRequest(
        text=given["input"],
        engine=engine,
        voice=given["voice"],
        language=given["language"],
        speed=given["speed"],
        format=given["response_format"],
    )
    try:
        if prefers_async():
            return responses.enqueue_text(request, fields)
        said = responses.begin_speech(request)
    except InvalidRequest as error:
        raise _reworded(error) from None
    if given["stream_format"] == "sse":
        return responses.event_stream(_audio_events(said, given["input"]))
    return responses.audio_response(said)


def _reworded(error: InvalidRequest) -> InvalidRequest:
    """*error* with the field's name in OpenAI's API, and its voices beside our own."""
    message = error.message.replace("text:", "input:", 1)
    if error.param == "voice":
        message += f". Here also: {', '.join(OPENAI_VOICES)}"
    return type(error)(message, "input" if error.param == "text" else error.param)


def _engine(model: str) -> str | None:
    """The synthesizer a model's name stands for; None leaves the choice to the service."""
    if SNAPSHOT.sub("", model) in SPEAKING_MODELS:
        return None
    engines = services().speech.synthesis.chain.engines
    if model not in engines:
        raise _unknown_model(model, (*SPEAKING_MODELS, *engines))
    return model


def _audio_events(spoken: SynthesisResult, text: str) -> Generator[bytes]:
    """The audio as events. There are no tokens here: the words of the text stand for them."""
    words = len(text.split())
    with closing(spoken):
        try:
            for chunk in spoken.audio:
                for begin in range(0, len(chunk), EVENT_BYTES):
                    encoded = base64.b64encode(chunk[begin : begin + EVENT_BYTES]).decode()
                    yield responses.event({"type": "speech.audio.delta", "audio": encoded})
        except ServiceError as error:
            yield responses.error_event(error)
            return
    usage = {"input_tokens": words, "output_tokens": 0, "total_tokens": words}
    yield responses.event({"type": "speech.audio.done", "usage": usage})


@openai_audio.get("/models", summary="Every model")
def models() -> Response:
    return jsonify(object="list", data=[_model(name) for name in (*_transcribing(), *_speaking())])


@openai_audio.get("/models/<path:name>", summary="One model")
def model(name: str) -> Response:
    known, name = (*_transcribing(), *_speaking()), name.rstrip("/")
    if name not in known:
        raise _unknown_model(name, known)
    return jsonify(_model(name))


@openai_audio.post(
    "/models/<path:name>", summary="Fetch a model while the service runs; events say how far it is"
)
def fetch_model(name: str) -> Response:
    # Here, because a worker that is never asked does without its libraries.
    from ..speech.fetch import check_room, fetch_aside

    settings = _settings_for_changes()
    wanted = next((one for one in CATALOGUE.values() if name.rstrip("/") in (one.name, one.repository)), None)
    if wanted is None:
        raise _unknown_model(name, CATALOGUE)
    model_dir = Path(settings.model_dir)
    if find(wanted.name, model_dir) is None:
        check_room(wanted, model_dir)
    total = wanted.parameters_millions * 2_000_000  # two bytes each, as they are published
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def events(still_wanted: Callable[[], bool]) -> Generator[bytes]:
        with closing(fetch_aside(wanted, settings, still_wanted)) as progress:
            for size in progress:
                yield responses.event({"type": "progress", "bytes": min(size, total), "total_bytes": total})
        with app.app_context():
            yield responses.event({"type": "done", "model": _model(wanted.name)})
        yield responses.LAST

    return responses.event_stream(responses.Background(events, client_waits()))


@openai_audio.delete("/models/<path:name>", summary="Remove a model from the disk")
def delete_model(name: str) -> Response:
    _settings_for_changes()
    services().speech.remove(name)
    return jsonify(id=name, object="model", deleted=True)


def _settings_for_changes() -> Settings:
    """The settings, where they let this caller change which models there are; Forbidden says what does."""
    settings = services().settings
    if not (settings.allow_model_fetch and g.get("key_id")):
        raise Forbidden("models may be fetched and removed if ALLOW_MODEL_FETCH=true and API_KEYS are set")
    return settings


@openai_audio.get("/audio/models", summary="The models that speak")
def speaking_models() -> Response:
    return jsonify(models=[{"id": name} for name in _speaking()])


@openai_audio.get("/audio/voices", summary="OpenAI's voices and every local one")
def voices() -> Response:
    chain = services().speech.synthesis.chain
    shown = [(name, name.capitalize()) for name in OPENAI_VOICES]
    shown += [(voice.id, voice.name) for voice in chain.voices.all if voice.engine in chain.engines]
    return jsonify(voices=[{"id": id, "name": name} for id, name in shown])


def _unknown_model(name: str, known: Iterable[str]) -> ModelNotFound:
    return ModelNotFound(f"the model {name!r} does not exist; accepted are {', '.join(known)}", "model")


def _transcribing() -> tuple[str, ...]:
    """The models transcription can be asked of; none where it is off."""
    speech = services().speech
    if speech.transcriber is None:
        return ()
    here = [one.model for one in speech.models] or [speech.transcriber.model]
    return tuple(dict.fromkeys((*here, *TRANSCRIBING_MODELS)))


def _speaking() -> tuple[str, ...]:
    return (*SPEAKING_MODELS, *services().speech.synthesis.chain.engines)


def _model(name: str) -> dict[str, object]:
    owner = "openai" if name in (*TRANSCRIBING_MODELS, *SPEAKING_MODELS) else "local"
    found = {"id": name, "object": "model", "created": int(services().started_at), "owned_by": owner}
    return {**found, **_about(name)}


def _about(name: str) -> dict[str, object]:
    """What a model does here: its languages, whether its engine runs, and the megabytes that may take."""
    speech = services().speech
    if name in _speaking():
        chain, engines = speech.synthesis.chain, [speech.synthesis.engine]
        known = [*chain.voices.languages([name] if name in chain.engines else chain.engines)]
    else:
        models = [one for one in speech.models if one.model == name] or speech.models
        if not models:  # another server's
            return {}
        engines = [one.engine for one in models]
        known = sorted(languages.WHISPER) if any(one.multilingual for one in models) else ["en"]
    return {
        "languages": known,
        "loaded": any(engine.is_running for engine in engines),
        "megabytes": round(max(engine.program.cost_mb for engine in engines)),
    }
