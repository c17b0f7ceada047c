"""What the whole service weighs (PSS of all its processes): idle, at its peak by length, and afterwards."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from app.config import Settings
from app.speech import models

from .recordings import CLIP, Recording, long_recording
from .service import Service, bare, processors
from .stock import stock_whisper
from .table import Row, main
from .weighing import Peak

STARTS = 11
MODEL_DIR = Path(Settings().model_dir)
AFTER_ENGINE_SECONDS = 2  # issue 3 looks 2 s after the engine went
DRIFT_REQUESTS = 1000
# At most, in MB, by model, then by minutes (0: the clip).
LIMITS = {"tiny.en": {0: 165.0, 10: 175.0}, "base": {10: 222.0}}
AN_HOUR_PEAKS_AT_MOST = 1.02  # times what 10 minutes do


def measure(quick: bool) -> Iterator[Row]:
    """Idle, start, peaks, return to idle, drift."""
    recordings = [CLIP, long_recording(10), *([] if quick else [long_recording(60)])]
    yield from idle_beside_bare_flask(rounds=2 if quick else STARTS)
    yield from stock_peaks(recordings)
    yield from peaks("tiny.en", recordings)
    if models.find("base", MODEL_DIR):  # `make model WHISPER_MODEL=base` fetches it
        yield from peaks("base", recordings[:2])
    yield from drift(100 if quick else DRIFT_REQUESTS)


def idle_beside_bare_flask(rounds: int) -> Iterator[Row]:
    """Alternating, each alone, medians."""
    weights: dict[str, list[float]] = {"bare": [], "ours": []}
    starts: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        for name, make in (("bare", bare), ("ours", Service)):
            with make() as service:
                for number in range(50):
                    service.get("/health" if name == "bare" or number % 10 else "/api/memory")
                weights[name].append(service.weigh().total_mb)
                starts[name].append(service.start_seconds * 1000)
    median = statistics.median
    yield Row("idle after 50 requests, bare Flask + gunicorn", median(weights["bare"]), "MB")
    yield Row("idle after 50 requests, whole service", median(weights["ours"]), "MB", 43.0)
    yield Row("start to first 200 on /health/live, bare", median(starts["bare"]), "ms")
    yield Row("start to first 200 on /health/live", median(starts["ours"]), "ms")
    ratios = [ours / theirs for ours, theirs in zip(starts["ours"], starts["bare"], strict=True)]
    yield Row("start, against bare: median of pairs", median(ratios), "x", 1.25)


def stock_peaks(recordings: list[Recording]) -> Iterator[Row]:
    """The library alone, without a server around it."""
    with stock_whisper(processors()) as stock:
        for recording in recordings:
            with Peak(stock.pid) as peak:
                stock.ask(path=str(recording.path), beam_size=1)
            yield Row(f"peak, {length_of(recording)}, stock call without a server", peak.total_mb, "MB")


def peaks(model: str, recordings: list[Recording]) -> Iterator[Row]:
    """The peak of each recording in a fresh engine, and what is left when the last has gone."""
    limits = dict(LIMITS[model])
    with Service({"WHISPER_MODEL": model}) as service:
        for _ in range(50):
            service.get("/health")
        before = service.weigh().total_mb
        for recording in recordings:
            minutes = int(recording.seconds // 60)
            with Peak(service.pid) as peak:
                answer = service.transcribe(recording.path)
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
            what = f"peak, {length_of(recording)}, {model}"
            yield Row(what, peak.total_mb, "MB", limits.get(minutes))
            yield Row(f"{what}, the engine alone", peak.roles.get("whisper", 0), "MB")
            if minutes == 10:
                limits[60] = AN_HOUR_PEAKS_AT_MOST * peak.total_mb
            service.wait_until_engines_left()
        time.sleep(AFTER_ENGINE_SECONDS)
        yield Row(f"left 2 s after the engine went, {model}", service.weigh().total_mb - before, "MB", 2.0)


def length_of(recording: Recording) -> str:
    """In words."""
    return f"{recording.seconds // 60:.0f} min" if recording.seconds >= 60 else f"{recording.seconds:.0f} s"


def drift(requests: int) -> Iterator[Row]:
    """What each process weighs more after many requests, every tenth a transcription, than after a few."""
    with Service({"ENGINE_IDLE_SECONDS": "600"}) as service:
        ask(service, 200)
        before = service.weigh()
        ask(service, requests)
        after = service.weigh()
    for role, weight in sorted(after.roles.items()):
        yield Row(f"drift over {requests} requests, {role}", weight - before.roles.get(role, 0), "MB")


def ask(service: Service, requests: int) -> None:
    """A mixture: health, figures, a bad upload, and every tenth time speech."""
    for number in range(requests):
        if number % 10 == 9:
            service.transcribe(CLIP.path)
        elif number % 10 == 4:
            service.transcribe(CLIP.path.with_suffix(".txt"))
        else:
            service.get("/health" if number % 2 else "/api/memory")


if __name__ == "__main__":
    main(measure)
