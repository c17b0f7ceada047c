"""Wall time of a transcription through HTTP beside the stock library call: warm, same file, same beam."""

import statistics
from collections.abc import Iterator

from .recordings import CLIP, Recording, long_recording
from .service import Service, processors
from .stock import Stock, stock_whisper
from .table import Row, main

BEAM_SIZE = 1
COLD_STARTS = 5
# At most, as a multiple of the stock call: issue 3; the clip, 5 % for all of HTTP: issue 2.
LIMITS = {CLIP.path: 1.05, long_recording(10).path: 1.10}


def measure(quick: bool) -> Iterator[Row]:
    """An 11 s clip, a 10-minute recording, and the first request of a cold engine."""
    with (
        Service({"ENGINE_IDLE_SECONDS": "600", "WHISPER_BEAM_SIZE": str(BEAM_SIZE)}) as service,
        stock_whisper(processors()) as stock,
    ):
        yield from beside_stock(service, stock, CLIP, "11 s", rounds=7 if quick else 21)
        yield from beside_stock(service, stock, long_recording(10), "10 min", rounds=1 if quick else 3)
    yield from cold(COLD_STARTS if not quick else 2)


def beside_stock(
    service: Service, stock: Stock, recording: Recording, length: str, *, rounds: int
) -> Iterator[Row]:
    """Medians of alternating runs, after one of each that is not counted."""
    ours, theirs = [], []
    for number in range(rounds + (recording is CLIP)):
        of_stock = stock.ask(path=str(recording.path), beam_size=BEAM_SIZE)["seconds"]
        answer = service.transcribe(recording.path)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
        if number or recording is not CLIP:  # the first warms up
            ours.append(answer.seconds)
            theirs.append(of_stock)
    stock_seconds = statistics.median(theirs)
    yield Row(f"{length}, stock call, beam {BEAM_SIZE}", stock_seconds, "s")
    limit = LIMITS[recording.path] * stock_seconds
    yield Row(f"{length}, through HTTP, beam {BEAM_SIZE}", statistics.median(ours), "s", limit)
    yield Row(f"{length}, ours / stock, pair by pair", statistics.median(map(_divide, ours, theirs)), "x")


def cold(rounds: int) -> Iterator[Row]:
    """The whole answer to a clip that must start an engine; one window, so its first segment is its last."""
    seconds = []
    with Service() as service:
        for _ in range(rounds):
            seconds.append(service.transcribe(CLIP.path).seconds)
            service.wait_until_engines_left()
    yield Row("11 s, engine not running", statistics.median(seconds), "s", 2.0)


def _divide(ours: float, theirs: float) -> float:
    return ours / theirs


if __name__ == "__main__":
    main(measure)
