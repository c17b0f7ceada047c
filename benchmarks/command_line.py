"""What the commands weigh: `transcribe` and `speak` with their engine, no server beside them."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .recordings import CLIP, ROOT, Recording, long_recording
from .service import Service
from .table import Row, main
from .weighing import Peak

MORE_THAN_THE_ENGINE = 1.05  # issue 9: a 10-minute file peaks within 5 % of the engine's figure
LIMIT_SECONDS = 1800


def measure(quick: bool) -> Iterator[Row]:
    """Peaks by length beside the engine of a service at the same work; the time until a short answer."""
    recordings = [CLIP, long_recording(10), *([] if quick else [long_recording(60)])]
    for recording in recordings:
        length = (
            f"{recording.seconds // 60:.0f} min" if recording.seconds >= 60 else f"{recording.seconds:.0f} s"
        )
        served = engine_of_a_service(recording)
        peak, seconds = transcribed(recording)
        yield Row(f"transcribe {length}, engine of a service", served, "MB")
        yield Row(f"transcribe {length}, engine", peak.roles["whisper"], "MB", MORE_THAN_THE_ENGINE * served)
        yield Row(f"transcribe {length}, the command beside it", peak.roles["master"], "MB")
        yield Row(f"transcribe {length}, all processes", peak.total_mb, "MB")
        yield Row(f"transcribe {length}", seconds, "s")
    yield from spoken()
    yield Row("doctor", timed("doctor"), "s")


def engine_of_a_service(recording: Recording) -> float:
    """The engine's peak, in MB, with the same recording."""
    with Service() as service, Peak(service.pid) as peak:
        service.transcribe(recording.path)
    return peak.roles["whisper"]


def transcribed(recording: Recording) -> tuple[Peak, float]:
    """The command's peak by role ("master" is the command itself), and how long it took."""
    with tempfile.TemporaryDirectory() as directory:
        return weighed("transcribe", str(recording.path), "-o", str(Path(directory) / "text.srt"))


def spoken() -> Iterator[Row]:
    """What speaking a short text weighs, by the two who speak offline."""
    with tempfile.TemporaryDirectory() as directory:
        for engine in ("espeak", "neural"):
            out = str(Path(directory) / f"{engine}.mp3")
            peak, seconds = weighed("speak", CLIP.text, "--engine", engine, "-o", out)
            yield Row(f"speak, {engine}, all processes", peak.total_mb, "MB")
            yield Row(f"speak, {engine}", seconds, "s")


def weighed(*words: str) -> tuple[Peak, float]:
    """A command, weighed while it runs, and its seconds."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "app", *words], cwd=ROOT, stderr=subprocess.DEVNULL)
    with Peak(process.pid) as peak:
        if process.wait(LIMIT_SECONDS):
            raise RuntimeError(f"{words[0]} failed")
    return peak, time.monotonic() - began


def timed(*words: str) -> float:
    """How many seconds a command takes."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "app", *words], cwd=ROOT, capture_output=True)
    return time.monotonic() - began


if __name__ == "__main__":
    main(measure)
