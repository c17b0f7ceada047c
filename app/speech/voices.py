"""Every voice that can be had on this machine, found without waking an engine or loading a library."""

import functools
import importlib.util
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from . import languages

ESPEAK_LIBRARY = "libespeak-ng.so.1"
PACKAGES = {"gtts": "gtts", "neural": "hibari"}
SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")


class Voice(NamedTuple):
    """One voice, as callers see it."""

    id: str
    name: str
    language: str
    engine: str
    offline: bool
    key: str  # what its engine calls it


class EspeakFiles(NamedTuple):
    """A library of espeak-ng and the data made for it; None: where it was built to look."""

    library: str
    data: str | None


class Voices:
    """The catalogue; read from disk when first asked for, then kept (about 0.1 MB). Threads may share it."""

    def __init__(self, espeak: Iterable[EspeakFiles], *, neural_download: bool = False) -> None:
        self._espeak, self._neural_download = list(espeak), neural_download
        self.speaking = functools.lru_cache(maxsize=256)(self._speaking)  # asked for every engine and text

    @functools.cached_property
    def _spoken(self) -> list[tuple[str, Voice]]:
        """(tag, voice): every language of every voice, the best voice for a tag before the others."""
        return [
            *gtts_voices(),
            *neural_voices(download=self._neural_download),
            *espeak_voices(self._espeak),
        ]

    @functools.cached_property
    def all(self) -> list[Voice]:
        """Every voice, engine by engine."""
        return list(dict.fromkeys(voice for _, voice in self._spoken))

    def named(self, name: str, engines: Iterable[str]) -> list[Voice]:
        """The voices of *engines* called *name*: by id, or by the engine's own name for it."""
        wanted = name.strip().lower()
        return [
            voice
            for voice in self.all
            if voice.engine in engines and wanted in (voice.id, voice.key.lower(), voice.name.lower())
        ]

    def _speaking(self, language: str, engine: str) -> Voice | None:
        """*engine*'s voice for a language tag, the closest there is."""
        spoken = [(tag, voice) for tag, voice in self._spoken if voice.engine == engine]
        return next(
            (voice for wanted in languages.fitting(language) for tag, voice in spoken if tag == wanted), None
        )

    def installed(self, engine: str) -> bool:
        """Whether *engine* is here at all; without reading its voices, which takes espeak-ng's 142 files."""
        if engine == "espeak":
            return any(files.data and (Path(files.data) / "lang").is_dir() for files in self._espeak)
        return package_directory(PACKAGES[engine]) is not None

    def languages(self, engines: Iterable[str]) -> list[str]:
        """Every language tag that *engines* have a voice for."""
        return sorted({voice.language.lower() for voice in self.all if voice.engine in engines})


def gtts_voices() -> Iterator[tuple[str, Voice]]:
    """Google Translate's voices by tag; none where gTTS is not installed."""
    if importlib.util.find_spec("gtts") is None:
        return
    for tag, name in languages.GTTS.items():
        yield tag.lower(), Voice(f"gtts:{tag.lower()}", name, tag, "gtts", offline=False, key=tag)


def neural_voices(*, download: bool) -> Iterator[tuple[str, Voice]]:
    """The neural voices by tag; those whose files are not on this machine only with *download*."""
    package = package_directory("hibari")
    if package is None:
        return
    for key, facts in json.loads((package / "assets" / "voices.json").read_text()).items():
        # Not Path.exists: it raises where the home is somebody else's.
        if not (facts.get("bundled") or download or os.path.exists(hibari_cache() / facts["file"])):
            continue
        name = f"{key.capitalize()} ({facts['accent']} English, {facts['gender']})"
        voice = Voice(f"neural:{key}", name, facts["language"], "neural", offline=True, key=key)
        if facts.get("bundled"):
            yield "en", voice
        yield facts["language"].lower(), voice


def hibari_cache() -> Path:
    """Where hibari 0.2.1 keeps downloaded voices on Linux (its voices.cache_dir)."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("HIBARI_HOME") or os.path.join(cache, "hibari"))


def espeak_voices(found: Iterable[EspeakFiles]) -> list[tuple[str, Voice]]:
    """espeak-ng's voices by tag, as its data directory describes them; the smaller its number, the better."""
    ranked: list[tuple[int, str, Voice]] = []
    data = next(
        (Path(files.data) for files in found if files.data and (Path(files.data) / "lang").is_dir()), None
    )
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
            voice = Voice(f"espeak:{id}", name, tags[0][1], "espeak", offline=True, key=id)
            ranked += [(rank, tag, voice) for rank, tag in tags]
    ranked.sort(key=lambda entry: entry[0])
    return [(tag, voice) for _, tag, voice in ranked]


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
