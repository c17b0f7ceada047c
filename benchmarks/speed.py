"""
Wall time of a transcription through HTTP beside the stock library call: warm, same file, same beam.

And of four and eight clips at once beside Flask with the library in its web process. With EARLIER in the environment, a
checkout of another commit with its models, a clip of 4 s beside that.
"""

import operator
import os
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .comparison import usual
from .recordings import CLIP, Recording, long_recording
from .service import Service, processors
from .stock import Stock, stock_whisper
from .table import Row, main

BEAM_SIZE = 1
# At most, as multiples of the stock call: issue 3; the clip through HTTP: issue 2.
LIMITS = {"11 s": 1.05, "10 min": 0.92}
AT_ONCE_AT_MOST, EARLIER_AT_MOST, COLD_AT_MOST = 0.8, 0.5, 0.65
SHORT = Recording(CLIP.path.with_name("neural_4s.flac"), 4.0)


def measure(quick: bool) -> Iterator[Row]:
    """An 11 s clip, a 10-minute recording, and the first request of a cold engine."""
    rounds = {"11 s": 7, "10 min": 1} if quick else {"11 s": 21, "10 min": 3}
    settings = {"ENGINE_IDLE_SECONDS": "600", "WHISPER_BEAM_SIZE": str(BEAM_SIZE)}
    with Service(settings) as service, stock_whisper(processors()) as stock:
        yield from beside_stock(service, stock, CLIP, "11 s", rounds=rounds["11 s"])
        yield from beside_stock(service, stock, long_recording(10), "10 min", rounds=rounds["10 min"])
    yield from cold(2 if quick else 5)
    with Service(settings) as service, usual() as other:
        for clips in (4, 8):
            yield from at_once(service, other, clips, rounds=1 if quick else 5)
    if earlier := os.environ.get("EARLIER"):
        with Service(settings) as service, Service(settings, folder=Path(earlier)) as before:
            yield from beside_earlier(service, before, rounds=3 if quick else 15)


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


def at_once(service: Service, other: Service, clips: int, *, rounds: int) -> Iterator[Row]:
    """Until all of *clips* that are sent together are answered; medians of alternating rounds."""

    def seconds(server: Service) -> float:
        threads = [threading.Thread(target=transcribe, args=(server, CLIP)) for _ in range(clips)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    for server in (other, service):
        seconds(server)
    pairs = [(seconds(other), seconds(service)) for _ in range(rounds)]
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    yield Row(
        f"{clips} clips at once, Flask with the library", statistics.median(pair[0] for pair in pairs), "s"
    )
    yield Row(f"{clips} clips at once: times Flask with the library", ratio, "x", AT_ONCE_AT_MOST)


def beside_earlier(service: Service, before: Service, *, rounds: int) -> Iterator[Row]:
    """A clip of 4 s, by turns with another commit."""
    for server in (before, service):
        transcribe(server, SHORT)
    pairs = [(transcribe(before, SHORT), transcribe(service, SHORT)) for _ in range(rounds)]
    yield Row("4 s, the other commit", statistics.median(pair[0] for pair in pairs), "s")
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    yield Row("4 s: times the other commit", ratio, "x", EARLIER_AT_MOST)


def cold(rounds: int) -> Iterator[Row]:
    """The whole answer to a clip that must start an engine; one window, so its first segment is its last."""
    seconds = []
    with Service({"ENGINE_IDLE_SECONDS": "1"}) as service:
        for _ in range(rounds):
            seconds.append(transcribe(service, CLIP))
            service.wait_until_engines_left()
    yield Row("11 s, engine not running", statistics.median(seconds), "s", COLD_AT_MOST)


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
