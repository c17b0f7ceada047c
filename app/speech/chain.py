"""Which synthesizers are asked for a text, in what order, and with which voice; or why none can be."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..config import Settings
from ..engine.scripts import count
from ..errors import InvalidRequest, NothingToSay, UnsupportedFormat
from ..synthesizers import SYNTHESIZERS
from . import languages
from .formats import AUDIO
from .voices import OPENAI_VOICES, Voice, Voices

ONLINE = tuple(one.name for one in SYNTHESIZERS.values() if one.sends_texts_to)
SPEEDS, PITCHES = (0.25, 4.0), (0.5, 2.0)
FAILURES, RETRY_SECONDS = 3, 60.0  # of a circuit breaker
NAMED = 12  # voices in the refusal of one that is unknown
# espeak-ng's Japanese voice reads kana; it spells Latin words, and calls a Chinese character just that.
ESPEAK_JAPANESE = frozenset({"kana"})


class SpeakRequest(NamedTuple):
    """
    A text and how to speak it; None leaves the choice to the service. Not every synthesizer has a *pitch*.

    With *stream* the audio comes while it is made; without, when it is whole: its size and duration are
    then known, and an engine that fails half-way is replaced by the next. In the *background* it gives way to
    requests that somebody waits for. With *timestamps* "word" the result has the time of each, and is not kept.
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
    timestamps: str | None = None


class Attempt(NamedTuple):
    """One synthesizer that could do it, with the voice it would use."""

    engine: str
    voice: Voice
    scripts: frozenset[str]  # what the voice reads
    others: Mapping[str, Voice]  # the engine's voices for more scripts of the text
    unreadable: Mapping[str, int]  # letters of the text that no voice of the engine reads, by script
    able: bool  # reads more than half of the letters; else it is not asked


class Chain:
    """
    Turns requests into attempts. One per worker, shared by its threads.

    TTS_ENGINE is "auto", or the one that speaks unless a request names another. An offline one keeps every text on
    this machine: then a request can't name one that is online either.
    """

    def __init__(self, settings: Settings, voices: Voices) -> None:
        self.voices, self._first, self._language = voices, settings.tts_engine, settings.tts_language
        self._max_characters = settings.tts_max_characters
        may_leave = self._first in ("auto", *ONLINE)
        here = {engine for engine in voices.engines if may_leave or engine not in ONLINE} | {self._first}
        self.engines = tuple(engine for engine in SYNTHESIZERS if engine in here)

    def attempts(self, request: SpeakRequest) -> list[Attempt]:
        """
        Who could be asked: those that read all of the text first, those that are not able to speak it last.

        InvalidRequest, where none is able too, says what is wrong and what is accepted.
        """
        self._check(request)
        engines = self._engines(request.engine)
        alias = (request.voice or "").strip().lower()
        is_alias = alias in OPENAI_VOICES
        voices = [] if is_alias else self._requested_voices(request, engines)
        requested = self._tag(request.language or (voices[0].language if voices else self._language))
        letters = Counter[str]() if request.text.isascii() else count(request.text)
        tag = language_of(request.text, letters, requested, chosen=bool(request.language or voices))
        if tag != requested:
            voices = []  # they can't say a word of it
        elif voices:
            voices = self._speaking(voices, request, tag)
        by_engine = {voice.engine: voice for voice in reversed(voices)}
        if request.engine is None:  # the requested voice's engine first, the others stand in for it
            engines = sorted(engines, key=lambda engine: bool(voices) and engine not in by_engine)
        attempts = [
            self._attempt(engine, voice, request.text, letters)
            for engine in engines
            if (
                voice := by_engine.get(engine)
                or (self.voices.alias(alias, tag, engine) if is_alias else None)
                or self.voices.speaking(tag, engine)
            )
        ]
        if not any(attempt.able for attempt in attempts):
            problem = f"no synthesizer here speaks {tag!r}"
            if attempts or tag != requested:
                foreign = ", ".join(script for script in letters if script != "latin")
                problem = f"the text has {foreign} letters, which {', '.join(engines)} can't say"
            known = ", ".join(self.voices.languages(engines)) or "none, no synthesizer is installed"
            raise InvalidRequest(f"language: {problem}; accepted: {known}", "language")
        return sorted(attempts, key=lambda attempt: sum(attempt.unreadable.values()))

    def _attempt(self, engine: str, voice: Voice, text: str, letters: Counter[str]) -> Attempt:
        own = readable_scripts(voice)
        others = {}
        for script in letters.keys() - own:
            japanese = "kana" in letters or languages.same(voice.language, "ja")
            language = languages.of_script(script, text, with_kana=japanese)
            other = self.voices.speaking(language, engine) if language else None
            if other is not None and script in readable_scripts(other):
                others[script] = other
        unreadable = {script: letters[script] for script in sorted(letters.keys() - own - others.keys())}
        able = not unreadable or 2 * sum(unreadable.values()) < letters.total()
        return Attempt(engine, voice, own, others, unreadable, able)

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
        if request.format not in AUDIO:
            raise UnsupportedFormat(f"format: {request.format!r} is none of {', '.join(AUDIO)}", "format")
        for name, value, (least, most) in (
            ("speed", request.speed, SPEEDS),
            ("pitch", request.pitch, PITCHES),
        ):
            if not least <= value <= most:
                raise InvalidRequest(f"{name}: {value:g} is not within {least:g} to {most:g}", name)

    def _engines(self, requested: str | None) -> list[str]:
        """The engines that may be asked, best first."""
        if requested in (None, "auto"):
            if self._first not in SYNTHESIZERS:
                return list(self.voices.engines)
            requested = self._first
        if requested not in self.engines or requested not in self.voices.engines:
            why = "is unknown"
            if requested in ONLINE:
                why = f"is off here (TTS_ENGINE={self._first} keeps texts on this machine)"
            elif requested in SYNTHESIZERS:
                why = f"is not here (`python -m app voices fetch {requested}` fetches it; KOKORO=false leaves it out)"
            raise InvalidRequest(
                f"engine: {requested!r} {why}; accepted: auto, {', '.join(self.engines)}", "engine"
            )
        return [requested]

    def _requested_voices(self, request: SpeakRequest, engines: list[str]) -> list[Voice]:
        """Every voice that goes by the name in *request*."""
        if not request.voice:
            return []
        voices = self.voices.named(request.voice, engines)
        if not voices:
            known = [voice.id for voice in self.voices.all if voice.engine in engines]
            more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
            raise InvalidRequest(
                f"voice: there is no {request.voice!r} of {', '.join(engines)}; accepted: "
                f"{', '.join(known[:NAMED])}{more}; GET /api/v1/pam/voice/voices lists them",
                "voice",
            )
        return voices

    def _speaking(self, voices: list[Voice], request: SpeakRequest, tag: str) -> list[Voice]:
        """Those of *voices* that speak *tag*."""
        speaking = [voice for voice in voices if languages.same(voice.language, tag)]
        if not speaking:
            raise InvalidRequest(
                f"voice: {request.voice!r} speaks {voices[0].language}, not {tag!r}; GET "
                "/api/v1/pam/voice/voices lists every voice with its language",
                "voice",
            )
        return speaking

    def _tag(self, language: str) -> str:
        try:
            return languages.normal(language)
        except ValueError:
            raise InvalidRequest(
                f"language: {language!r} is not a language tag; accepted: two or three letters and perhaps a "
                "region, such as en, de or pt-BR",
                "language",
            ) from None


class Breaker:
    """
    A circuit breaker: stops asking what keeps failing, and tries it again after a while.

    It opens after FAILURES in a row, for RETRY_SECONDS; then one caller may try. Threads share it.
    A trial of which nobody notes the outcome changes nothing: the next one may come as late.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failed, self._retry_at = 0, 0.0

    def allows(self) -> bool:
        """Whether to ask now; true at most once every RETRY_SECONDS while it is open."""
        with self._lock:
            if self._failed < FAILURES:
                return True
            if self._clock() < self._retry_at:
                return False
            self._retry_at = self._clock() + RETRY_SECONDS
            return True

    def succeeded(self) -> None:
        """Note that the service answered: ask it as usual."""
        with self._lock:
            self._failed = 0

    def failed(self) -> None:
        """Note that it did not answer."""
        with self._lock:
            self._failed += 1
            self._retry_at = self._clock() + RETRY_SECONDS

    @property
    def retry_in_seconds(self) -> float:
        """Until the next try; 0 while closed."""
        with self._lock:
            return max(0.0, self._retry_at - self._clock()) if self._failed >= FAILURES else 0.0

    @property
    def state(self) -> str:
        """For people: "closed" (asks), "open" (does not), "half-open" (the next call is the trial)."""
        with self._lock:
            if self._failed < FAILURES:
                return "closed"
            return "open" if self._clock() < self._retry_at else "half-open"


def readable_scripts(voice: Voice) -> frozenset[str]:
    """The scripts *voice* reads."""
    if voice.engine == "espeak" and voice.language == "ja":
        return ESPEAK_JAPANESE
    return languages.scripts(voice.language)


def language_of(text: str, letters: Counter[str], requested: str, *, chosen: bool) -> str:
    """
    The *requested* language, or the one *text* is written in where a voice of that could not say it.

    A language that was *chosen* gives way only where there is no letter of it; the default where most are others'.
    """
    own = sum(letters[script] for script in languages.scripts(requested))
    if not letters or (own > 0 if chosen else 2 * own >= letters.total()):
        return requested
    (most, _), *_ = letters.most_common(1)
    return languages.of_script(most, text, with_kana="kana" in letters) or requested
