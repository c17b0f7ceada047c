"""Which synthesizers are asked for a text, in what order, and with which voice; or why none can be."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import InvalidRequest, NothingToSay, UnsupportedFormat
from . import languages
from .voices import Voice, Voices

ENGINES = ("gtts", "neural", "espeak")  # the order of "auto": natural and online, natural, always there
ONLINE = ("gtts",)
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
SLOWEST, FASTEST = 0.25, 4.0
LOWEST, HIGHEST = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class SpeakRequest:
    """
    A text and how to speak it; None leaves the choice to the service. Only espeak-ng has a *pitch*.

    With *stream* the audio comes while it is made; without, when it is whole: its size and duration are
    then known, and an engine that fails half-way is replaced by the next. In the *background* it gives way to
    requests that somebody waits for.
    """

    text: str
    engine: str | None = None
    voice: str | None = None
    language: str | None = None
    speed: float = 1.0
    pitch: float = 1.0
    format: str = "mp3"
    stream: bool = True
    background: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One synthesizer that could do it, with the voice it would use."""

    engine: str
    voice: Voice
    language: str


class Chain:
    """
    Turns requests into attempts. One per worker, shared by its threads.

    *first* is TTS_ENGINE: "auto", or the one that speaks unless a request names another. An offline one
    keeps every text on this machine: then a request can't name one that is online either.
    """

    def __init__(self, first: str, language: str, max_characters: int, voices: Voices) -> None:
        self.voices = voices
        self._first, self._language, self._max_characters = first, language, max_characters
        self.engines = tuple(
            engine for engine in ENGINES if engine not in ONLINE or first in ("auto", *ONLINE)
        )

    def attempts(self, request: SpeakRequest) -> list[Attempt]:
        """Who is asked, best first; InvalidRequest says what is wrong and what is accepted."""
        self._check(request)
        engines = self._engines(request.engine)
        named = self._named(request, engines)
        tag = self._tag(request.language or (named[0].language if named else self._language))
        if named:
            speaking = [voice for voice in named if languages.same(voice.language, tag)]
            if not speaking:
                raise InvalidRequest(
                    f"voice: {request.voice!r} speaks {named[0].language}, not {tag!r}; GET "
                    "/api/v1/pam/voice/voices lists every voice with its language",
                    "voice",
                )
            named = speaking
        found = {voice.engine: voice for voice in reversed(named)}
        if named and request.engine is None:  # the voice's own engine first, the others stand in for it
            engines = sorted(engines, key=lambda engine: engine not in found)
        attempts = [
            Attempt(engine, voice, tag)
            for engine in engines
            if (voice := found.get(engine) or self.voices.speaking(tag, engine)) is not None
        ]
        if not attempts:
            known = ", ".join(self.voices.languages(engines)) or "none, no synthesizer is installed"
            raise InvalidRequest(f"language: nobody here speaks {tag!r}; accepted: {known}", "language")
        return attempts

    def _check(self, request: SpeakRequest) -> None:
        text = request.text
        if not text.strip():
            raise InvalidRequest("text: is empty; send the text to speak", "text")
        if len(text) > self._max_characters:
            raise InvalidRequest(
                f"text: has {len(text)} characters; accepted: at most {self._max_characters} "
                "(TTS_MAX_CHARACTERS)",
                "text",
            )
        if not any(character.isalnum() for character in text):
            raise NothingToSay("text: has no word or number that can be spoken", "text")
        if request.format not in FORMATS:
            raise UnsupportedFormat(f"format: {request.format!r} is none of {', '.join(FORMATS)}", "format")
        if not SLOWEST <= request.speed <= FASTEST:
            raise InvalidRequest(
                f"speed: {request.speed:g} is not within {SLOWEST:g} to {FASTEST:g}", "speed"
            )
        if not LOWEST <= request.pitch <= HIGHEST:
            raise InvalidRequest(f"pitch: {request.pitch:g} is not within {LOWEST:g} to {HIGHEST:g}", "pitch")

    def _engines(self, asked: str | None) -> list[str]:
        if asked in (None, "auto"):
            return [self._first] if self._first in ENGINES else list(ENGINES)
        if asked not in self.engines:
            off = asked in ENGINES
            why = (
                f"is off here (TTS_ENGINE={self._first} keeps texts on this machine)" if off else "is unknown"
            )
            raise InvalidRequest(
                f"engine: {asked!r} {why}; accepted: auto, {', '.join(self.engines)}", "engine"
            )
        return [asked]

    def _named(self, request: SpeakRequest, engines: list[str]) -> list[Voice]:
        if not request.voice:
            return []
        named = self.voices.named(request.voice, engines)
        if not named:
            raise InvalidRequest(
                f"voice: there is no {request.voice!r} of {', '.join(engines)}; accepted: "
                f"{some(voice.id for voice in self.voices.all if voice.engine in engines)}; GET "
                "/api/v1/pam/voice/voices lists them",
                "voice",
            )
        return named

    def _tag(self, language: str) -> str:
        try:
            return languages.normal(language)
        except ValueError:
            raise InvalidRequest(
                f"language: {language!r} is not a language tag; accepted: two or three letters and perhaps a "
                "region, such as en, de or pt-BR",
                "language",
            ) from None


def some(names: Iterable[str], limit: int = 12) -> str:
    """*names* in a sentence, the first few of them."""
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
