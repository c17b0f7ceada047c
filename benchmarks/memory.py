"""What the whole service weighs (PSS of all its processes): idle, at its peak by length, and afterwards."""

import contextlib
import statistics
import time
from collections.abc import Iterator

from .recordings import CLIP, Recording, long_recording
from .service import Service, bare
from .table import Row, main
from .weighing import Peak

STARTS = 5
AFTER_ENGINE_SECONDS = 2  # issue 3 looks 2 s after the engine went
DRIFT_REQUESTS = 1000
# At most, in MB, by minutes: issue 3. An hour may peak 3 % higher than 10 minutes.
LONGER_MAY_PEAK_HIGHER = 1.03


def measure(quick: bool) -> Iterator[Row]:
    """Idle, start, peaks, return to idle, drift."""
    yield from idle_beside_bare_flask(rounds=2 if quick else STARTS)
    yield from peaks("tiny.en", [CLIP, long_recording(10), *([] if quick else [long_recording(60)])])
    with contextlib.suppress(LookupError):
        yield from peaks("base", [CLIP] if quick else [CLIP, long_recording(10)], {10: 330.0})
    yield from drift(100 if quick else DRIFT_REQUESTS)


def idle_beside_bare_flask(rounds: int) -> Iterator[Row]:
    """Alternating, each alone, medians."""
    weights: dict[str, list[float]] = {"bare": [], "ours": []}
    starts: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        for name, make in (("bare", bare), ("ours", Service)):
            with make() as service:
                for _ in range(50):
                    service.get("/health")
                weights[name].append(service.weigh().total_mb)
                starts[name].append(service.start_seconds * 1000)
    median = statistics.median
    yield Row("idle after 50 requests, bare Flask + gunicorn", median(weights["bare"]), "MB")
    yield Row("idle after 50 requests, whole service", median(weights["ours"]), "MB", 45.0)
    yield Row("start to first 200 on /health, bare", median(starts["bare"]), "ms")
    yield Row("start to first 200 on /health", median(starts["ours"]), "ms", 1.3 * median(starts["bare"]))


def peaks(model: str, recordings: list[Recording], limits: dict[int, float] | None = None) -> Iterator[Row]:
    """The peak of each recording in a fresh engine, and what is left of it afterwards."""
    limits = {0: 230.0, 10: 235.0} if limits is None else limits
    with Service({"WHISPER_MODEL": model}) as service:
        for _ in range(50):
            service.get("/health")
        before = service.weigh().total_mb
        for recording in recordings:
            minutes = int(recording.seconds // 60)
            length = f"{minutes} min" if minutes else f"{recording.seconds:.0f} s"
            with Peak(service.pid) as peak:
                answer = service.transcribe(recording.path)
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
            yield Row(f"peak, {model}, {length}", peak.total_mb, "MB", limits.get(minutes))
            yield Row(f"peak, {model}, {length}, the engine alone", peak.roles.get("whisper", 0), "MB")
            if minutes == 10:
                limits[60] = LONGER_MAY_PEAK_HIGHER * peak.total_mb
            service.wait_until_engines_left()
            time.sleep(AFTER_ENGINE_SECONDS)
        left = service.weigh().total_mb - before
        yield Row(f"left 2 s after the {model} engine went", left, "MB", 2.0)


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
