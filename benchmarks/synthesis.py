"""How soon speech comes, and whether it can be understood; `voices.py` weighs the service meanwhile."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .accuracy import word_errors
from .recordings import ROOT
from .service import Answer, Service
from .stock import Stock, stock_neural
from .table import Row, main

PROSE = [line for line in (ROOT / "tests" / "data" / "prose.txt").read_text().splitlines() if line]
SENTENCES = [paragraph.split(". ")[0] + "." for paragraph in PROSE]  # twenty, each on another subject
LONG_TEXT = " ".join(PROSE)[:1000].rpartition(" ")[0] + "."
NO_CACHE = {"TTS_CACHE_MB": "0", "ENGINE_IDLE_SECONDS": "600"}


def measure(quick: bool) -> Iterator[Row]:
    """First bytes, the cache, time beside the library, and speech heard again."""
    rounds = 5 if quick else 20
    yield from first_bytes(rounds)
    yield from cold_start(3 if quick else 7)
    yield from cache_hits(rounds)
    yield from beside_library(3 if quick else 9)
    yield from heard_again(SENTENCES[:5] if quick else SENTENCES)


def first_bytes(rounds: int) -> Iterator[Row]:
    """Of a sentence, from a warm engine, nothing cached."""
    with Service(NO_CACHE) as service:
        for engine, limit in (("espeak", 30.0), ("neural", 250.0)):
            speak(service, engine, SENTENCES[0])  # warm
            times = [
                speak(service, engine, SENTENCES[number % len(SENTENCES)]).first_byte_seconds * 1000
                for number in range(rounds)
            ]
            yield Row(f"first byte, {engine}, wav, warm", statistics.median(times), "ms", limit)


def cold_start(rounds: int) -> Iterator[Row]:
    """First byte of a sentence that must start the engine."""
    times = []
    with Service({**NO_CACHE, "ENGINE_IDLE_SECONDS": "1"}) as service:
        for number in range(rounds):
            times.append(speak(service, "espeak", SENTENCES[number]).first_byte_seconds * 1000)
            service.wait_until_engines_left()
    yield Row("first byte, espeak, engine not running", statistics.median(times), "ms", 400.0)


def cache_hits(rounds: int) -> Iterator[Row]:
    """The same request again, when no engine runs."""
    with tempfile.TemporaryDirectory() as folder, Service({"TTS_CACHE_DIR": folder}) as service:
        speak(service, "espeak", SENTENCES[0])
        service.wait_until_engines_left()
        answers = [speak(service, "espeak", SENTENCES[0]) for _ in range(rounds)]
        engines = len(set(service.weigh().roles) - {"master", "web"})
    missed = sum(answer.headers.get("x-cache") != "hit" for answer in answers)
    yield Row("cached answers", statistics.median(answer.seconds for answer in answers) * 1000, "ms", 5.0)
    yield Row("cached answers that were not, and engines started", missed + engines, "", 0)


def beside_library(rounds: int) -> Iterator[Row]:
    """A thousand characters by the neural voice, through HTTP and by the library, alternating."""
    with Service(NO_CACHE) as service, stock_neural() as library:
        ours, theirs = alternating(service, "neural", library, LONG_TEXT, rounds)
    yield Row("neural, 1,000 characters, the library called directly", theirs, "s")
    yield Row("neural, 1,000 characters, through HTTP", ours, "s", 1.15 * theirs)


def alternating(service: Service, engine: str, library: Stock, text: str, rounds: int) -> tuple[float, float]:
    """Seconds for *text* through HTTP and by *library*, by turns; medians without the first."""
    ours, theirs = [], []
    for number in range(rounds + 1):
        direct = library.ask(text=text)["seconds"]
        answer = speak(service, engine, text)
        if number:
            theirs.append(direct)
            ours.append(answer.seconds)
    return statistics.median(ours), statistics.median(theirs)


def heard_again(sentences: list[str]) -> Iterator[Row]:
    """Word errors of our own transcription of our own speech."""
    heard = []
    with Service(NO_CACHE) as service, tempfile.TemporaryDirectory() as folder:
        for sentence in sentences:
            path = Path(folder) / "sentence.wav"
            path.write_bytes(speak(service, "neural", sentence).body)
            heard.append(service.transcribe(path).json["text"])
    errors = word_errors(" ".join(sentences), " ".join(heard))
    yield Row(f"{len(sentences)} neural sentences transcribed again, word errors", errors, "%", 4.0)


def speak(service: Service, engine: str, text: str, form: str = "wav") -> Answer:
    """The answer to a request that must succeed."""
    answer = service.speak(text=text, engine=engine, format=form)
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
    return answer


if __name__ == "__main__":
    main(measure)
