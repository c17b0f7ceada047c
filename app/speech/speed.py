"""
How fast this machine is: one window of a model, measured once and kept beside the models.

`python -m app.speech.speed DIRECTORY THREADS` prints the seconds to encode a window, and to write its text, as JSON.
"""

import contextlib
import functools
import json
import logging
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from ..config import PROJECT
from ..engine.launch import WHISPER, processor
from ..files import atomic_write

log = logging.getLogger(__name__)

KEPT = "speed.json"
LIMIT_SECONDS = 120
TOKENS = 100  # half a minute of fluent English has about as many
ROUNDS = 2  # the first one loads the library's code; the better counts


class WindowTime(NamedTuple):
    """What half a minute of speech takes with a model, on some processors."""

    model: str
    processors: str
    encode_seconds: float
    generate_seconds: float


@functools.cache
def window_time(model: Path, threads: int) -> WindowTime | None:
    """What is kept beside the directory *model*, measured now where that was on other processors; None: it can't be."""
    processors = f"{threads} x {processor('model name') or platform.machine()}"
    path = model.parent / KEPT
    with contextlib.suppress(OSError, ValueError, TypeError):
        kept = WindowTime(**json.loads(path.read_bytes()))
        is_measured = kept.encode_seconds > 0 < kept.generate_seconds  # TypeError where they are no numbers
        if is_measured and (kept.model, kept.processors) == (model.name, processors):
            return kept
    command = [sys.executable, "-m", "app.speech.speed", str(model.absolute()), str(threads)]
    environment = {**os.environ, **WHISPER}
    try:
        answer = subprocess.run(  # noqa: S603 (our own command)
            command, cwd=PROJECT, env=environment, timeout=LIMIT_SECONDS, check=True, capture_output=True
        )
        measured = WindowTime(model.name, processors, *json.loads(answer.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("the speed of this machine can't be measured: %s", error)
        return None
    # Where it can't be kept, it is measured at each start.
    with contextlib.suppress(OSError), atomic_write(path, mode=0o644) as file:
        file.write(json.dumps(measured._asdict()).encode())
    return measured


def measure(directory: str, threads: str) -> list[float]:
    """The seconds to encode a window, and to write its text, in this process."""
    # Here, because the web worker imports this module, and runs this in a process of its own.
    import numpy as np

    from ..engine_process.native import extension
    from ..engine_process.stt.mel import WINDOW_FRAMES
    from ..engine_process.stt.whisper import WhisperEngine

    engine = WhisperEngine({"model_dir": directory, "model": Path(directory).name, "threads": int(threads)})
    features = np.zeros((1, engine.model.n_mels, WINDOW_FRAMES), np.float32)
    view = extension().StorageView.from_array
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        encoded = (
            view(engine.encoder.encode(features)) if engine.encoder else engine.model.encode(view(features))
        )
        middle = time.perf_counter()
        engine.model.generate(
            encoded, [[engine.vocabulary.start]], beam_size=1, max_length=TOKENS,
            suppress_tokens=[engine.vocabulary.end_of_text],
        )  # fmt: skip
        seconds.append((middle - began, time.perf_counter() - middle))
    return [min(each) for each in zip(*seconds, strict=True)]


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
