"""Wall time of a transcription through HTTP beside the stock library call: warm, same file, same beam."""

import operator
import statistics
from collections.abc import Iterator

from .recordings import CLIP, Recording, long_recording
from .service import Service, processors
from .stock import Stock, stock_whisper
from .table import Row, main

BEAM_SIZE = 1
# At most, as multiples of the stock call: issue 3; the clip through HTTP: issue 2.
LIMITS = {"11 s": 1.05, "10 min": 1.1}


def measure(quick: bool) -> Iterator[Row]:
    """An 11 s clip, a 10-minute recording, and the first request of a cold engine."""
    rounds = {"11 s": 7, "10 min": 1} if quick else {"11 s": 21, "10 min": 3}
    settings = {"ENGINE_IDLE_SECONDS": "600", "WHISPER_BEAM_SIZE": str(BEAM_SIZE)}
    with Service(settings) as service, stock_whisper(processors()) as stock:
        yield from beside_stock(service, stock, CLIP, "11 s", rounds=rounds["11 s"])
        yield from beside_stock(service, stock, long_recording(10), "10 min", rounds=rounds["10 min"])
    yield from cold(2 if quick else 5)


def beside_stock(
    service: Service, stock: Stock, recording: Recording, length: str, *, rounds: int
) -> Iterator[Row]:
    """Medians of alternating runs, after a clip for each that is not counted."""
    of_stock: list[float] = []
    ours: list[float] = []
    transcribe_with_stock(stock, CLIP)
    transcribe(service, CLIP)
    for _ in range(rounds):
        of_stock.append(transcribe_with_stock(stock, recording))
        ours.append(transcribe(service, recording))
    yield Row(f"{length}, stock call, beam {BEAM_SIZE}", statistics.median(of_stock), "s")
    yield Row(f"{length}, through HTTP, beam {BEAM_SIZE}", statistics.median(ours), "s")
    # Each run is held against the stock call of its own round: what else the machine does, it does to both.
    ratio = statistics.median(map(operator.truediv, ours, of_stock))
    yield Row(f"{length}: times the stock call", ratio, "x", LIMITS[length])


def cold(rounds: int) -> Iterator[Row]:
    """The whole answer to a clip that must start an engine; one window, so its first segment is its last."""
    seconds = []
    with Service({"ENGINE_IDLE_SECONDS": "1"}) as service:
        for _ in range(rounds):
            seconds.append(transcribe(service, CLIP))
            service.wait_until_engines_left()
    yield Row("11 s, engine not running", statistics.median(seconds), "s", 2.0)


def transcribe(service: Service, recording: Recording) -> float:
    """How long the answer took."""
    answer = service.transcribe(recording.path)
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
    return answer.seconds


def transcribe_with_stock(stock: Stock, recording: Recording) -> float:
    """How long the call took."""
    return float(stock.ask(path=str(recording.path), beam_size=BEAM_SIZE)["seconds"])


if __name__ == "__main__":
    main(measure)
