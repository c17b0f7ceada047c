"""Every voice that can be had on this machine, found without waking an engine or loading a library."""

import functools
import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..config import Settings
from ..synthesizers import SYNTHESIZERS, SynthesizerSpec
from . import languages

ESPEAK_LIBRARY = "libespeak-ng.so.1"
KOKORO = "kokoro"  # the directory of its model in MODEL_DIR
KOKORO_MODEL = "kokoro.onnx"
# The first letter of a Kokoro voice's name: its language, what that is called, and another tag it is best for.
KOKORO_LANGUAGES = {
    "a": ("en-US", "American English", "en"), "b": ("en-GB", "British English", ""), "e": ("es", "Spanish", ""),
    "f": ("fr", "French", ""), "h": ("hi", "Hindi", ""), "i": ("it", "Italian", ""),
    "p": ("pt-BR", "Brazilian Portuguese", "pt"),
}  # fmt: skip
KOKORO_FIRST = ("af_heart", "bf_emma")  # of their languages; of the others the first by name
MIXED = re.compile(r"([a-z]{2}_[a-z]+)(\(\d{1,3}(\.\d{1,3})?\))?")  # a part of "af_heart(2)+af_bella(1)"
MOST_MIXED = 8
# OpenAI's names for voices, and whether a woman or a man speaks.
OPENAI_VOICES = {
    "alloy": "female", "ash": "male", "ballad": "male", "coral": "female", "echo": "male", "fable": "male",
    "onyx": "male", "nova": "female", "sage": "female", "shimmer": "female", "verse": "male", "marin": "female",
    "cedar": "male",
}  # fmt: skip
SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")


class Voice(NamedTuple):
    """One voice, as callers see it."""

    id: str
    name: str
    language: str
    engine: str
    key: str  # what its engine calls it
    gender: str = ""  # where that is known

    @property
    def offline(self) -> bool:
        """Whether the texts it speaks stay on this machine."""
        return not SYNTHESIZERS[self.engine].sends_texts_to

    @property
    def quality(self) -> str:
        """Whether it sounds like a person: "natural", "parametric" or "robotic"."""
        return SYNTHESIZERS[self.engine].quality


class EspeakFiles(NamedTuple):
    """A library of espeak-ng and the data made for it; None: where it was built to look."""

    library: str
    data: str | None


class Voices:
    """The catalogue; read from disk when first asked for, then kept (about 0.1 MB). Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self.espeak, self._neural_download = find_espeak(), settings.neural_voice_download
        kokoro = Path(settings.model_dir) / KOKORO
        is_here = settings.kokoro and (kokoro / KOKORO_MODEL).is_file()
        self.kokoro = kokoro if is_here else None  # the directory of its model
        self.engines = tuple(engine for engine in SYNTHESIZERS if engine != KOKORO or is_here)
        self.speaking = functools.lru_cache(maxsize=256)(self._speaking)  # asked for every engine and text

    @functools.cached_property
    def _spoken(self) -> list[tuple[str, Voice]]:
        """(tag, voice): every language of every voice, the best voice for a tag before the others."""
        found: dict[str, Callable[[], Iterable[tuple[str, Voice]]]] = {
            "gtts": gtts_voices,
            "kokoro": functools.partial(kokoro_voices, self.kokoro),
            "neural": functools.partial(neural_voices, download=self._neural_download),
            "espeak": functools.partial(espeak_voices, self.espeak),
        }
        return [
            spoken
            for name, spec in SYNTHESIZERS.items()
            for spoken in (fixed_voices(spec) if spec.voices else found[name]())
        ]

    @functools.cached_property
    def all(self) -> list[Voice]:
        """Every voice, engine by engine."""
        return list(dict.fromkeys(voice for _, voice in self._spoken))

    def named(self, name: str, engines: Iterable[str]) -> list[Voice]:
        """The voices of *engines* called *name*: by id, or by the engine's own name for it."""
        wanted = name.strip().lower()
        found = [
            voice
            for voice in self.all
            if voice.engine in engines and wanted in (voice.id, voice.key.lower(), voice.name.lower())
        ]
        return found or (self._mixed(wanted.removeprefix("kokoro:")) if "kokoro" in engines else [])

    def _mixed(self, wanted: str) -> list[Voice]:
        """The mixture of Kokoro's voices that *wanted* describes, in the language of the first."""
        known = {voice.key: voice for voice in self.all if voice.engine == "kokoro"}
        written = [part.strip() for part in wanted.split("+")]
        found = [part for part in map(MIXED.fullmatch, written) if part and part[1] in known]
        is_heard = any(float((part[2] or "(1)")[1:-1]) for part in found)
        if len(found) < len(written) or len(found) > MOST_MIXED or not is_heard:
            return []
        key = "+".join(part[0] for part in found)
        return [known[found[0][1]]._replace(id=f"kokoro:{key}", name=key, key=key)]

    def alias(self, name: str, language: str, engine: str) -> Voice | None:
        """*engine*'s voice for one of OpenAI's names: the one of that name, else one of that gender."""
        gender = OPENAI_VOICES.get(name)
        own = [
            voice for voice in self.all if voice.engine == engine and languages.same(voice.language, language)
        ]
        if gender is None or len(own) < 2:
            return None
        exact = [voice for voice in own if voice.language.lower() == languages.normal(language)]
        for voice in exact or own:
            if voice.key.endswith(f"_{name}"):
                return voice
        best = self.speaking(language, engine)
        near = exact or [
            voice for voice in own if engine == "espeak" or (best and voice.language == best.language)
        ]
        fitting = [voice for voice in near if voice.gender in ("", gender)] or near
        names = [other for other, one in OPENAI_VOICES.items() if one == gender or not fitting[0].gender]
        return fitting[names.index(name) % len(fitting)]

    def _speaking(self, language: str, engine: str) -> Voice | None:
        """*engine*'s voice for a language tag, the closest there is."""
        spoken = [(tag, voice) for tag, voice in self._spoken if voice.engine == engine]
        found = (voice for wanted in languages.fitting(language) for tag, voice in spoken if tag == wanted)
        return next(found, None)

    def installed(self, engine: str) -> bool:
        """Whether *engine* is here at all; without reading its voices, which takes espeak-ng's 142 files."""
        if engine == "espeak":
            return _espeak_data(self.espeak) is not None
        if engine == KOKORO:
            return self.kokoro is not None
        return package_directory(SYNTHESIZERS[engine].package) is not None

    def languages(self, engines: Iterable[str]) -> list[str]:
        """Every language tag that *engines* have a voice for."""
        return sorted({voice.language.lower() for voice in self.all if voice.engine in engines})


def gtts_voices() -> Iterator[tuple[str, Voice]]:
    """Google Translate's voices by tag; none where gTTS is not installed."""
    if package_directory("gtts") is None:
        return
    for tag, name in languages.GTTS.items():
        yield tag.lower(), Voice(f"gtts:{tag.lower()}", name, tag, "gtts", key=tag)


def kokoro_voices(directory: Path | None) -> Iterator[tuple[str, Voice]]:
    """The voices in the directory of Kokoro's model by tag, the best of a language first."""
    names = [path.stem for path in (directory / "voices").glob("*.bin")] if directory else []
    for key in sorted(names, key=lambda name: (name not in KOKORO_FIRST, name)):
        if key[0] in KOKORO_LANGUAGES:
            language, spoken, also = KOKORO_LANGUAGES[key[0]]
            gender = "female" if key[1] == "f" else "male"
            name = f"{key[3:].capitalize()} ({spoken}, {gender})"
            voice = Voice(f"kokoro:{key}", name, language, "kokoro", key=key, gender=gender)
            yield from ((tag, voice) for tag in (language.lower(), also) if tag)


def neural_voices(*, download: bool) -> Iterator[tuple[str, Voice]]:
    """The neural voices by tag; those whose files are not on this machine only with *download*."""
    package = package_directory("hibari")
    if package is None:
        return
    # Where hibari 0.2.1 keeps downloaded voices on Linux (its voices.cache_dir).
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = Path(os.environ.get("HIBARI_HOME") or os.path.join(cache, "hibari"))
    for key, facts in json.loads((package / "assets" / "voices.json").read_text()).items():
        # Not Path.exists: it raises where the home is somebody else's.
        if not (facts.get("bundled") or download or os.path.exists(home / facts["file"])):
            continue
        name = f"{key.capitalize()} ({facts['accent']} English, {facts['gender']})"
        voice = Voice(f"neural:{key}", name, facts["language"], "neural", key=key)
        if facts.get("bundled"):
            yield "en", voice
        yield facts["language"].lower(), voice


def fixed_voices(spec: SynthesizerSpec) -> Iterator[tuple[str, Voice]]:
    """The voices that the table has of a synthesizer, by tag; none where its package is not installed."""
    if package_directory(spec.package) is None:
        return
    for key, language, language_name, gender, best_for in spec.voices:
        name = f"{spec.label} ({language_name}, {gender})"
        voice = Voice(f"{spec.name}:{key.lower()}", name, language, spec.name, key=key, gender=gender)
        yield from ((tag, voice) for tag in (language.lower(), best_for) if tag)


def espeak_voices(found: Iterable[EspeakFiles]) -> list[tuple[str, Voice]]:
    """espeak-ng's voices by tag, as its data directory describes them; the smaller its number, the better."""
    ranked: list[tuple[int, str, Voice]] = []
    data = _espeak_data(found)
    if data is None:
        return []
    for file in sorted(path for path in (data / "lang").rglob("*") if path.is_file()):
        name, dictionary, tags = file.name, "", []
        for line in file.read_text(encoding="utf-8").splitlines():
            word, _, rest = line.partition(" ")
            if word == "name":
                name = rest.strip()
            elif word == "dictionary":
                dictionary = rest.strip()
            elif word == "language":
                tag, *rank = rest.split("//")[0].split()
                tags.append((int(rank[0]) if rank else 5, tag.lower()))  # 5: espeak-ng's own default
        # The package brings a few voices without their dictionary; they could not read a word.
        if tags and (data / f"{dictionary or tags[0][1].split('-')[0]}_dict").exists():
            id = file.name.lower()
            voice = Voice(f"espeak:{id}", name, tags[0][1], "espeak", key=id)
            ranked += [(rank, tag, voice) for rank, tag in tags]
    ranked.sort(key=lambda entry: entry[0])
    return [(tag, voice) for _, tag, voice in ranked]


def _espeak_data(found: Iterable[EspeakFiles]) -> Path | None:
    directories = (Path(files.data) for files in found if files.data)
    return next((directory for directory in directories if (directory / "lang").is_dir()), None)


def find_espeak(environ: Mapping[str, str] | None = None) -> list[EspeakFiles]:
    """
    The installations of espeak-ng, the system's before the one in the package espeakng-loader.

    A library that an Aptfile brought is not where it was built to be, and finds no data by itself:
    the data directory beside it is named too.
    """
    searched = (os.environ if environ is None else environ).get("LD_LIBRARY_PATH", "").split(":")
    directories = [Path(directory) for directory in searched if directory]
    for place in map(Path, SYSTEM_LIBRARIES):
        directories += [*sorted(place.glob("*-linux-gnu")), place]
    found = []
    for directory in directories:
        library = directory / ESPEAK_LIBRARY
        if library.exists():
            data = (directory / "espeak-ng-data", directory.parent / "share" / "espeak-ng-data")
            seen = next((str(place) for place in data if place.is_dir()), None)
            found.append(EspeakFiles(str(library), seen))
    package = package_directory("espeakng_loader")
    if package is not None:
        found.append(EspeakFiles(str(package / "libespeak-ng.so"), str(package / "espeak-ng-data")))
    return found


def package_directory(name: str) -> Path | None:
    """Where a package is installed; it is not imported."""
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
