"""
Fields of forms, query strings and JSON bodies: what each accepts, how it is read, how it is described.

At the end the tables of our own API; those of OpenAI's are in `openai_audio.py` and `realtime_events.py`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from werkzeug.datastructures import MultiDict

from ..config import read_bool
from ..errors import InvalidRequest, UnsupportedFormat
from ..speech import languages
from ..speech.formats import AUDIO, TRANSCRIPTS
from ..synthesizers import SYNTHESIZERS, WITH_PITCH

Fields = Mapping[str, Any]  # a form's are all text, a JSON body's may be anything
Schema = dict[str, Any]
Texts = tuple[str, ...]
Refusal = type[InvalidRequest]
# What a given value stands for, None for nothing; ValueError, without a text: must be what *accepts* says.
Read = Callable[[Any], Any]


class Field(NamedTuple):
    """
    A field of a request. It reads a value and describes it as JSON Schema, so that both say the same.

    One without *value* is accepted and ignored. The functions below make the kinds there are. *accepts* says what to
    send, in words, and *kind* in the terms of JSON Schema; something else is refused with *refusal*.
    """

    name: str
    help: str = "accepted and ignored"
    default: Any = None
    required: bool = False
    value: Read | None = None
    accepts: str = ""
    kind: Schema = {}  # noqa: RUF012 (nobody writes to it)
    repeated: bool = False  # with or without `[]` after its name
    refusal: Refusal = InvalidRequest

    def read(self, fields: Fields) -> Any:
        """Its value in *fields*, its default where there is none; InvalidRequest says what is accepted."""
        given = _all(self.name, fields) if self.repeated else fields.get(self.name)
        try:
            found = None if given is None or given == "" or self.value is None else self.value(given)
        except ValueError as problem:
            reason = str(problem) or f"must be {self.accepts}"
            raise self.refusal(f"{self.name} {reason}", self.name) from None
        if found is None and self.required:
            raise InvalidRequest(f"{self.name} is missing; send {self.accepts or self.help}", self.name)
        return self.default if found is None else found

    def schema(self) -> Schema:
        """Its JSON Schema, as OpenAPI 3.1 has it."""
        default = {} if self.default is None else {"default": self.default}
        return {**self.kind, "description": self.help, **default}


def _all(name: str, fields: Fields) -> list[object]:
    """What is given of a field that is repeated in a form, and a list in JSON."""
    found: list[object] = []
    for known in (name, name.removesuffix("[]")):
        for one in fields.getlist(known) if isinstance(fields, MultiDict) else [fields.get(known, [])]:
            found += one if isinstance(one, list) else [one]
    return found


def Recording(name: str, help: str, *, required: bool = False) -> Field:
    """A file; `receive_recording` reads it."""
    return Field(name, help, required=required, kind={"type": "string", "format": "binary"})


def Text(name: str, help: str, default: Any = None, *, required: bool = False, longest: int = 0) -> Field:
    """A text of at most *longest* characters; 0 sets no limit."""

    def value(given: Any) -> str | None:
        if not isinstance(given, str):
            raise ValueError("must be a text")
        found = given.strip()
        if longest and len(found) > longest:
            raise ValueError(f"has {len(found)} characters; accepted are at most {longest}")
        return found or None

    least = {"minLength": 1} if required else {}
    kind = {"type": "string", **least, **({"maxLength": longest} if longest else {})}
    return Field(name, help, default, required, value, kind=kind)


def Name(name: str, help: str, *, required: bool = False) -> Field:
    """A text, or an object that has it as its `id`."""

    def value(given: Any) -> str | None:
        found = given.get("id") if isinstance(given, dict) else given
        if not isinstance(found, str):
            raise ValueError('must be a text, or an object such as {"id": "alloy"}')
        return found.strip() or None

    named = {"type": "string", "minLength": 1}
    object_ = {"type": "object", "properties": {"id": named}, "required": ["id"]}
    return Field(name, help, None, required, value, kind={"anyOf": [named, object_]})


def Number(
    name: str, help: str, default: Any = None, *, least: float = 0, most: float, whole: bool = False
) -> Field:
    """A number from *least* to *most*; a *whole* one where that is asked for."""

    def value(given: Any) -> float:
        try:
            found = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not least <= found <= most or (whole and found != int(found)):
            raise ValueError
        return int(found) if whole else found

    accepts = f"a {'whole ' if whole else ''}number from {least:g} to {most:g}"
    kind = {"type": "integer" if whole else "number", "minimum": least, "maximum": most}
    return Field(name, help, default, value=value, accepts=accepts, kind=kind)


def Flag(name: str, help: str, default: bool) -> Field:
    """True or false."""

    def value(given: Any) -> bool:
        try:
            return read_bool(str(given))
        except ValueError:
            raise ValueError from None

    return Field(name, help, default, value=value, accepts="true or false", kind={"type": "boolean"})


def Choice(
    name: str, help: str, default: Any = None, *, of: Texts, refusal: Refusal = InvalidRequest
) -> Field:
    """One of the texts in *of*; anything else is refused with *refusal*."""

    def value(given: Any) -> str:
        if str(given).lower() not in of:
            raise ValueError
        return str(given).lower()

    kind, accepts = {"type": "string", "enum": [*of]}, f"one of {', '.join(of)}"
    return Field(name, help, default, value=value, accepts=accepts, kind=kind, refusal=refusal)


def Language(name: str, help: str) -> Field:
    """A language by its code or English name, read as Whisper's code; `auto` is none."""
    text = Text(name, help)

    def value(given: Any) -> str | None:
        found = text.read({name: given})
        try:
            return languages.whisper_code(found) if found and found.lower() != "auto" else None
        except ValueError as problem:
            raise InvalidRequest(f"{name}: {problem}", name) from None

    return text._replace(value=value)


def Many(name: str, help: str, default: Texts = (), *, of: Texts = ()) -> Field:
    """Texts, of those in *of* where it has any: a field that may be repeated, with or without `[]` after its name."""

    def value(given: list[object]) -> list[str] | None:
        texts = [one.strip() for one in given if isinstance(one, str)]
        if len(texts) < len(given) or (of and not {*texts} <= {*of}):
            raise ValueError
        return [one for one in of or texts if one and one in texts] or None

    kind = {"type": "array", "items": {"type": "string", **({"enum": [*of]} if of else {})}}
    accepts = f"any of {', '.join(of)}" if of else "texts"
    return Field(name, help, [*default], value=value, accepts=accepts, kind=kind, repeated=True)


def Languages(name: str, help: str) -> Field:
    """Languages by their codes or English names: a field as `Many`."""

    def value(given: list[object]) -> list[str] | None:
        return [*dict.fromkeys(languages.whisper_code(str(one)) for one in given if one)] or None

    return Many(name, help)._replace(value=value)


def read_object(fields: Fields, name: str, path: str = "") -> dict[str, Any]:
    """The object *name* in *fields*, which stand at *path*; an empty one where there is none."""
    found, where = fields.get(name), f"{path}.{name}".lstrip(".")
    if found is not None and not isinstance(found, dict):
        raise InvalidRequest(f"{where} must be an object", where)
    return found or {}


def read(table: Iterable[Field], fields: Fields) -> dict[str, Any]:
    """The value of each field of *table* by its name, without those that are ignored and recordings."""
    return {one.name: one.read(fields) for one in table if one.value is not None}


# What our own API takes.
TRANSCRIBE = (
    Recording("audio", "the recording; the field may also be called file", required=True),
    Choice("format", "what is answered", "json", of=tuple(TRANSCRIPTS), refusal=UnsupportedFormat),
    Flag("stream", "server-sent events as segments are found", False),
    Choice("task", "translate: into English", "transcribe", of=("transcribe", "translate")),
    Text("model", "one of WHISPER_MODEL; else the first of them that can do it"),
    Language("language", "ISO 639-1 code or English name; detected if it is not given"),
    Languages("languages", "the languages it may be, where it is detected"),
    Text("prompt", "text that came before, in the style the answer should have"),
    Text("hotwords", "words that are likely to occur"),
    Number(
        "temperature", "0: greedy, and again in other ways if the text is doubtful; above, samples", most=1
    ),
    Number("beam_size", "hypotheses kept while decoding; WHISPER_BEAM_SIZE", least=1, most=10, whole=True),
    Flag("word_timestamps", "also the time of each word", False),
    Flag("condition_on_previous_text", "decode each window with the text of the one before", True),
    Number(
        "audio_track",
        "an audio track of a film, counted from 0; else the default one, or the first that is not silent",
        most=31,
        whole=True,
    ),
)
SPEAK = (
    Text("text", 'the text to speak, such as {"text": "Hello."}', required=True),
    Text("engine", f"{', '.join(SYNTHESIZERS)}, or auto: the first that can; TTS_ENGINE"),
    Text("voice", "a voice's id or name; GET /api/v1/pam/voice/voices lists them"),
    Text("language", "language tag of the text; TTS_LANGUAGE"),
    Choice("format", "the audio's format", "mp3", of=tuple(AUDIO), refusal=UnsupportedFormat),
    Number("speed", "1.0 is the voice's own", 1.0, least=0.25, most=4),
    Number("pitch", f"1.0 is the voice's own; {WITH_PITCH} only", 1.0, least=0.5, most=2),
    Choice("timestamps", "word: JSON, with the audio in base64 and the time of each word", of=("word",)),
    Flag("stream", "false: the audio is sent when it is complete, with its length", True),
)
# Turn detection, as both APIs have it.
DETECTION = (
    Number("threshold", "the detector's probability from which a sound is speech", 0.5, most=1),
    Number(
        "prefix_padding_ms", "what a turn has of the time before its speech", 300, most=10_000, whole=True
    ),
    Number("silence_duration_ms", "the silence that ends a turn", 500, most=60_000, whole=True),
    Choice(
        "eagerness",
        "of semantic_vad, how soon: silence of at most 8, 4 or 2 s; auto is medium",
        "auto",
        of=("low", "medium", "high", "auto"),
    ),
)
TURNS = ("server_vad", "semantic_vad", "none")
LIVE = (
    Text("model", "a local model's name, or one of OpenAI's"),
    Language("language", "ISO 639-1 code or English name; heard at each turn if it is not given"),
    Languages("languages[]", "the languages it may be, where it is heard"),
    Text("prompt", "text that came before, in the style the text should have"),
    Text("hotwords", "words that are likely to occur"),
    Choice("encoding", "signed 16 bits little-endian, or 8 bits of G.711", "pcm", of=("pcm", "ulaw", "alaw")),
    Number("rate", "samples a second; of ulaw and alaw 8000", 16_000, least=8000, most=48_000, whole=True),
    Choice("turns", "what ends a turn: silence, silence that grows, or commit only", "server_vad", of=TURNS),
    *DETECTION,
    Flag("interim", "also the words of a turn that is not over", True),
)
