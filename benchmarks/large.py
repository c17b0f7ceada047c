"""
The whole service with models that can't be had everywhere: `small` and `large-v3-turbo`, with random weights.

Memory and time are those of the real ones; the text means nothing. `base` gives the vocabulary, so it has to be in
MODEL_DIR. In a control group of 512 MB `small` is asked for a minute of speech and by four clients at once.
"""

import shutil
import struct
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from app.config import Settings
from app.engine_process.stt import convert
from app.speech import models

from .cgroup import MemoryGroup
from .recordings import CLIP, long_recording
from .service import Service
from .table import Row, main
from .weighing import Peak

PEAK_AT_MOST_MB = 430.0
BANDS = {"small": 80, "large-v3-turbo": 128}
LIMIT_MB, CLIENTS = 512, 4
Arrays = Iterator[tuple[str, npt.NDArray[Any]]]


def random_model(model: models.Model, directory: Path) -> None:
    """Write *model* as the engine reads it, with random int8 weights, to *directory*."""
    like = models.find("base", Path(Settings().model_dir))
    if like is None:
        raise SystemExit("base is not in MODEL_DIR; run `python -m app models fetch base`")
    directory.mkdir()
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        whole = Path(scratch) / "model.bin"
        with whole.open("wb") as file:
            write(file, dict(variables(model)))
        convert.convert(whole, directory)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        shutil.copyfile(like / name, directory / name)
        shutil.copyfile(like / name, directory / "decoder" / name)


def variables(model: models.Model) -> Arrays:
    """The names and values of `ctranslate2/specs/whisper_spec.py`, `WhisperSpec`."""
    random, width = np.random.default_rng(1), model.width

    def linear(scope: str, rows: int, columns: int) -> Arrays:
        yield f"{scope}/weight", random.integers(-127, 128, (rows, columns), np.int8)
        yield f"{scope}/weight_scale", np.full(rows, 127 * columns**0.5 * 0.7, np.float32)
        yield f"{scope}/bias", np.zeros(rows, np.float16)

    def norm(scope: str) -> Arrays:
        yield f"{scope}/gamma", np.ones(width, np.float16)
        yield f"{scope}/beta", np.zeros(width, np.float16)

    def small(*shape: int) -> npt.NDArray[np.float16]:
        return (random.standard_normal(shape) * 0.02).astype(np.float16)

    for name, inputs in (("conv1", BANDS[model.name]), ("conv2", width)):
        yield f"encoder/{name}/weight", small(width, inputs, 3)
        yield f"encoder/{name}/bias", np.zeros(width, np.float16)
    layers = {"encoder": models.ENCODER_LAYERS[width], "decoder": model.decoder_layers}
    for part, places in (("encoder", models.POSITIONS), ("decoder", models.TOKENS)):
        yield f"{part}/num_heads", np.array(model.heads, np.int16)
        yield f"{part}/position_encodings/encodings", small(places, width)
        yield from norm(f"{part}/layer_norm")
        for number in range(layers[part]):
            scope = f"{part}/layer_{number}"
            yield from norm(f"{scope}/self_attention/layer_norm")
            yield from linear(f"{scope}/self_attention/linear_0", 3 * width, width)
            yield from linear(f"{scope}/self_attention/linear_1", width, width)
            if part == "decoder":
                yield from norm(f"{scope}/attention/layer_norm")
                yield from linear(f"{scope}/attention/linear_0", width, width)
                yield from linear(f"{scope}/attention/linear_1", 2 * width, width)
                yield from linear(f"{scope}/attention/linear_2", width, width)
            yield from norm(f"{scope}/ffn/layer_norm")
            yield from linear(f"{scope}/ffn/linear_0", 4 * width, width)
            yield from linear(f"{scope}/ffn/linear_1", width, 4 * width)
    yield "decoder/embeddings/weight", random.integers(-127, 128, (models.VOCABULARY, width), np.int8)
    yield "decoder/embeddings/weight_scale", np.full(models.VOCABULARY, 127 * width**0.5 * 0.7, np.float32)
    # What the converter of CTranslate2 writes beside the weights.
    flags = {"activation": 3, "pre_norm": 1, "start_from_zero_embedding": 1, "alibi": 0, "scale_alibi": 0}
    for name, value in {**flags, "alibi_use_positive_positions": 0, "scale_embeddings": 0}.items():
        yield f"decoder/{name}", np.array(value, np.int8)
    yield "decoder/alignment_layer", np.array(-1, np.int16)
    yield "decoder/alignment_heads", np.array(1, np.int16)


def write(file: BinaryIO, values: dict[str, npt.NDArray[Any]]) -> None:
    """Write *values* in CTranslate2's format; the projection has the weights of the embeddings."""
    file.write(struct.pack("<I", convert.BINARY_VERSION))
    convert.write_string(file, "WhisperSpec")
    file.write(struct.pack("<II", 3, len(values)))
    for name, array in values.items():
        convert.write_array(file, name, array)
    file.write(struct.pack("<I", 1))
    convert.write_string(file, "decoder/projection/weight")
    convert.write_string(file, "decoder/embeddings/weight")


def settings(model: str, place: str) -> dict[str, str]:
    """Random weights make text without end, and four attempts at every window: that takes its time."""
    patience = {"ENGINE_TIMEOUT_SECONDS": "900", "CLIENT_WAIT_SECONDS": "3600"}
    return {"WHISPER_MODEL": model, "MODEL_DIR": place, **patience}


def measure(quick: bool) -> Iterator[Row]:
    """The peak of each, a window of it; and `small` in 512 MB."""
    with tempfile.TemporaryDirectory() as place:
        for name in BANDS:
            random_model(models.CATALOGUE[name], Path(place) / name)
            with Service(settings(name, place)) as service, Peak(service.pid) as peak:
                answer = service.transcribe(CLIP.path)
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
            yield Row(f"peak, {name} with random weights", peak.total_mb, "MB", PEAK_AT_MOST_MB)
            yield Row(f"peak, {name}, the engine alone", peak.roles.get("whisper", 0), "MB")
            yield Row(f"a clip of 11 s, {name}", answer.seconds, "s")
        try:
            with (
                MemoryGroup(LIMIT_MB) as group,
                Service(
                    {"WHISPER_MODEL": "small", "MODEL_DIR": place}, command_prefix=group.command_prefix
                ) as service,
            ):
                statuses = together(service)
                kills = group.kills
        except PermissionError as error:
            yield Row(
                f"small in {LIMIT_MB} MB: not measured, no control group can be made here", error.errno, ""
            )
            return
        yield Row(f"small in {LIMIT_MB} MB: processes killed by the kernel", kills, "", 0)
        for status, count in sorted(statuses.items()):
            yield Row(
                f"small in {LIMIT_MB} MB: answers {status}", count, "", None if status in (200, 503) else 0
            )


def together(service: Service) -> Counter[int]:
    """The statuses of a minute of speech and of four clients' clips, all at once."""
    statuses: Counter[int] = Counter()
    paths = [long_recording(1).path, *[CLIP.path] * CLIENTS]
    threads = [
        threading.Thread(target=lambda path=path: statuses.update([service.transcribe(path).status]))
        for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


if __name__ == "__main__":
    main(measure)
