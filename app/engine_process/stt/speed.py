"""`python -m app.engine_process.stt.speed DIRECTORY THREADS`: seconds to encode a window, and to write its text."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from ..native import extension
from .mel import WINDOW_FRAMES
from .whisper import WhisperEngine

TOKENS = 100  # half a minute of fluent English has about as many
ROUNDS = 2  # the first one loads the library's code


def main(directory: str, threads: str) -> None:
    """Print both as JSON; the better of ROUNDS."""
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
    print(json.dumps([min(each) for each in zip(*seconds, strict=True)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
