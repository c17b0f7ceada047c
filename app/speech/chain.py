"""Which synthesizers are asked for a text, in what order, and with which voice; or why none can be."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..engine.scripts import count
from ..errors import InvalidRequest, NothingToSay, UnsupportedFormat
from . import languages
from .voices import Voice, Voices

ENGINES = ("gtts", "neural", "espeak")  # the order of "auto": natural and online, natural, always there
ONLINE = ("gtts",)
NO_LATIN_NOR_HAN = (
    "ja",
)  # espeak-ng's voice spells foreign words, and calls each Chinese character just that
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
    scripts: frozenset[str] = frozenset({"latin"})  # what the voice itself reads
    others: Mapping[str, Voice] = field(
        default_factory=dict
    )  # who reads the letters it can't, by their script
    unsaid: int = 0  # letters nobody of this engine can say


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
        asked = self._tag(request.language or (named[0].language if named else self._language))
        letters = count(request.text)
        tag = _written(asked, letters, request.text, chosen=bool(request.language or named))
        if tag != asked:
            named = []  # that voice can't say a word of it
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
            self._attempt(engine, voice, tag, letters, request.text)
            for engine in engines
            if (voice := found.get(engine) or self.voices.speaking(tag, engine)) is not None
        ]
        # Who can say all of it comes first; who can't say half of it is not asked.
        total = letters.total()
        able = sorted(
            (one for one in attempts if not one.unsaid or 2 * one.unsaid < total), key=lambda one: one.unsaid
        )
        if not able:
            known = ", ".join(self.voices.languages(engines)) or "none, no synthesizer is installed"
            what = f"nobody here speaks {tag!r}"
            if attempts or tag != asked:
                foreign = ", ".join(script for script in letters if script != "latin")
                what = f"the text has {foreign} letters, which {', '.join(engines)} can't say"
            raise InvalidRequest(f"language: {what}; accepted: {known}", "language")
        return able

    def _attempt(self, engine: str, voice: Voice, tag: str, letters: Counter[str], text: str) -> Attempt:
        own = _readable(voice)
        others = {}
        for script in letters.keys() - own:
            language = languages.of_script(script, text, with_kana="kana" in letters or tag == "ja")
            other = self.voices.speaking(language, engine) if language else None
            if other is not None and script in _readable(other):
                others[script] = other
        unsaid = sum(
            number for script, number in letters.items() if script not in own and script not in others
        )
        return Attempt(engine, voice, tag, frozenset(own), others, unsaid)

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


def _readable(voice: Voice) -> set[str]:
    """The scripts *voice* reads."""
    scripts = languages.scripts(voice.language)
    if voice.engine == "espeak" and voice.language in NO_LATIN_NOR_HAN:
        scripts -= {"latin", "han"}
    return scripts


def _written(tag: str, letters: Counter[str], text: str, *, chosen: bool) -> str:
    """
    *tag*, or the language the text is written in where that one's voices could not say it.

    A language that was *chosen* gives way only where there is no letter of it; the default where most are others'.
    """
    readable = sum(letters[script] for script in languages.scripts(tag))
    if not letters or (readable > 0 if chosen else 2 * readable >= letters.total()):
        return tag
    (most, _), *_ = letters.most_common(1)
    return languages.of_script(most, text, with_kana="kana" in letters) or tag


def some(names: Iterable[str], limit: int = 12) -> str:
    """*names* in a sentence, the first few of them."""
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
