"""
What each setting of the whisper process's environment saves and costs: all of them, all but one, none.

The engine is started as its owner starts it, without a web server, and is asked over the wire.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from app.config import Settings
from app.engine import launch, protocol
from app.speech import models

from .recordings import CLIP, ROOT, Recording, long_recording
from .service import processors
from .table import Row, main
from .weighing import Peak

MODEL = "tiny.en"


class WhisperProcess:
    """A whisper engine with *environment* over this process's own, from `__enter__` to `__exit__`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._numbers = itertools.count(1)

    def __enter__(self) -> "WhisperProcess":
        options = {
            "model": MODEL,
            "model_dir": str(models.find(MODEL, Path(Settings().model_dir))),
            "threads": processors(),
        }
        command = [sys.executable, "-m", "app.engine_process", "whisper", json.dumps(options)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate()

    def transcribe(self, recording: Recording) -> float:
        """How many seconds it took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        began = time.perf_counter()
        session, operation, state = next(self._numbers), "open", "more"
        options = {
            "path": str(recording.path),
            "task": "transcribe",
            "beam_size": 1,
            "max_audio_seconds": 1e6,
        }
        while state == "more":
            protocol.send(
                self.process.stdin.fileno(), {**options, "op": operation, "session": session, "step": 0}
            )
            header: protocol.Header = {}
            while "state" not in header:
                header = protocol.receive(self.process.stdout.fileno()).header
            operation, state = "next", header["state"]
        if state != "done":
            raise RuntimeError(header["message"])
        return time.perf_counter() - began


def measure(quick: bool) -> Iterator[Row]:
    """Alternating rounds; the medians of the peak and of the time for 2 minutes (quick) or 10."""
    recording = long_recording(2 if quick else 10)
    table = launch.WHISPER
    cases: dict[str, Mapping[str, str]] = {"none": {}, "as set": table}
    for name in table:
        cases[f"as set, without {name}"] = {other: table[other] for other in table if other != name}
    seconds: dict[str, list[float]] = {case: [] for case in cases}
    peaks: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(1 if quick else 3):
        for case, settings in cases.items():
            with WhisperProcess(settings) as engine:
                engine.transcribe(CLIP)
                with Peak(engine.process.pid) as peak:
                    seconds[case].append(engine.transcribe(recording))
                peaks[case].append(peak.total_mb)
    for case in cases:
        yield Row(f"engine with environment {case}: peak", statistics.median(peaks[case]), "MB")
        yield Row(f"engine with environment {case}: time", statistics.median(seconds[case]), "s")


if __name__ == "__main__":
    main(measure)
