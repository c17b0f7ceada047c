"""
Many long uploads at once, with clients that give up: how many are finished, and what the others are told.

Beside it: how many could be, one after the other, in the time the clients wait.
"""

import concurrent.futures
import contextlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path

from tests.server import form

from .recordings import long_recording
from .service import TRANSCRIBE, Service
from .table import Row, main

CLIENTS = 10
MINUTES = 2
WAIT_SECONDS = 60


def measure(quick: bool) -> Iterator[Row]:
    """Ten two-minute uploads by clients that wait 60 s; quick: as long as three of them take."""
    recording = long_recording(MINUTES).path
    with Service({"ENGINE_IDLE_SECONDS": "600", "CLIENT_WAIT_SECONDS": str(WAIT_SECONDS)}) as service:
        service.transcribe(recording)
        began = time.perf_counter()
        service.transcribe(recording)
        alone = time.perf_counter() - began
        wait = 3.5 * alone if quick else WAIT_SECONDS
        yield Row(f"{MINUTES} min alone", alone, "s")
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
            ends = [clients.submit(upload, service.port, recording, wait, quick) for _ in range(CLIENTS)]
            outcomes = [end.result() for end in ends]
    yield Row(f"{CLIENTS} at once, clients that wait {wait:.0f} s: could be finished", wait // alone, "")
    for outcome in ("finished", "refused with Retry-After", "given up"):
        yield Row(
            f"{CLIENTS} at once, {outcome}", outcomes.count(outcome), "", 0 if outcome == "given up" else None
        )


def upload(port: int, recording: Path, wait: float, tell: bool) -> str:
    """How it ended for a client that gives up after *wait* seconds; it says so only where it is to *tell*."""
    body, kind = form(recording.read_bytes())
    headers = {"Content-Type": kind, **({"Prefer": f"wait={wait:.0f}"} if tell else {})}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=wait)) as connection:
        try:
            connection.request("POST", TRANSCRIBE, body, headers)
            answer = connection.getresponse()
        except TimeoutError:
            return "given up"
        return "refused with Retry-After" if answer.headers["Retry-After"] else "finished"


if __name__ == "__main__":
    main(measure)
