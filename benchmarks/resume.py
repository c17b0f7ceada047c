"""
A long job whose service is killed at random moments, beside one that nobody disturbs: its time, and its text.

After a seam the windows may lie otherwise, and some words turn out otherwise, right or wrong; so both are compared
with what is said.
"""

import contextlib
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator

from app import memory

from .accuracy import word_errors
from .jobs import JOBS, post, wait_until
from .recordings import long_recording
from .service import Service
from .table import Row, main

KILLS, SEED = 5, 20
SETTINGS = {"JOB_ATTEMPTS": "3", "LOG_FORMAT": "text"}


def measure(quick: bool) -> Iterator[Row]:
    """The same recording twice, each by a service of its own."""
    minutes, kills = (6, 2) if quick else (60, KILLS)
    recording = long_recording(minutes)
    body = recording.path.read_bytes()
    undisturbed, text = run(body, [])
    draw = random.Random(SEED)
    moments = sorted(draw.uniform(0.05, 0.95) * undisturbed for _ in range(kills))
    disturbed, again = run(body, moments)
    yield Row(f"{minutes} minutes as a job", undisturbed, "s")
    yield Row(f"the same, its service killed {kills} times", disturbed, "s", 1.15 * undisturbed)
    right = word_errors(recording.text, text)
    yield Row("word errors, undisturbed", right, "%")
    yield Row("word errors, killed", word_errors(recording.text, again), "%", right + 0.1)
    yield Row("words that differ between the two", word_errors(text, again), "%")


def run(body: bytes, moments: list[float]) -> tuple[float, str]:
    """The seconds until the job has succeeded, and its text; worker and engine are killed at each of *moments*."""
    with tempfile.TemporaryDirectory() as data, Service({"DATA_DIR": data, **SETTINGS}) as service:
        began = time.perf_counter()
        place = post(service, JOBS, body).headers["location"]
        for moment in moments:
            time.sleep(max(0.0, began + moment - time.perf_counter()))
            for process in memory.service(service.pid):
                if process.role != "master":  # which starts the worker again
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
        wait_until(service, place, ("succeeded",), seconds=1800)
        took = time.perf_counter() - began
        return took, service.get(place).json["text"]


if __name__ == "__main__":
    main(measure)
