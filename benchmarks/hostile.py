"""`python -m benchmarks.hostile`: what an honest client notices while fifty hostile ones do what they can."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from tests.hostile import corpus
from tests.hostile.client import send
from tests.recordings import AUSTEN_SHORT

from . import table
from .service import Service
from .table import Row

HOSTILE = 50
HEAD = b"POST /api/v1/pam/voice/transcribe HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"
SLOW = (
    b"GET /health HTTP/1.1\r\nHost: x\r\nX-Half: ",
    HEAD + b"Content-Length: 20000000\r\n\r\nRIFF",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"",
)


def measure(quick: bool) -> Iterator[Row]:
    """/health and transcriptions before and during the attack, and what the service weighs after it."""
    settings = {"TTS_ENGINE": "espeak", "MAX_AUDIO_MINUTES": "2", "ENGINE_IDLE_SECONDS": "2"}
    seconds = 10 if quick else 60
    with Service(settings) as service:
        service.transcribe(AUSTEN_SHORT.path)
        service.speak(text="Hello.", format="wav")
        service.wait_until_engines_left()
        before = service.weigh().total_mb
        yield from health(service, "/health, nobody attacks", min(seconds, 10), None)
        with _attacked(service, seconds):
            yield from health(service, f"/health, {HOSTILE} hostile clients", seconds * 0.8, 100.0)
        yield from _transcriptions(service, quick)
        service.wait_until_engines_left()
        yield Row("the service after it, over before", service.weigh().total_mb - before, "MB", 8.0)


@contextlib.contextmanager
def _attacked(service: Service, seconds: float) -> Iterator[None]:
    """From `with` to its end *service* is attacked, but no longer than *seconds*."""
    command = [sys.executable, "-m", "benchmarks.hostile", "attack", str(service.port), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as attack:
        assert attack.stdout is not None
        attack.stdout.readline()  # it has made what it sends
        yield


def health(service: Service, what: str, seconds: float, limit_ms: float | None) -> Iterator[Row]:
    """Probes every 20 ms, each on a connection of its own."""
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = service.get("/health")
        assert answer.status == 200
        times.append(answer.seconds)
        time.sleep(0.02)
    times.sort()
    yield Row(f"{what}, median", 1000 * times[len(times) // 2], "ms")
    yield Row(f"{what}, 99th percentile", 1000 * times[len(times) * 99 // 100], "ms", limit_ms)


def _transcriptions(service: Service, quick: bool) -> Iterator[Row]:
    """An honest client's transcriptions during another attack: how many were refused, and how many wrong."""
    count = 3 if quick else 10
    refused = wrong = 0
    with _attacked(service, 5 * count):
        for _ in range(count):
            while (answer := service.transcribe(AUSTEN_SHORT.path)).status in (429, 503):
                refused += 1
                time.sleep(1)
            wrong += answer.status != 200 or answer.json["text"] != AUSTEN_SHORT.text
    yield Row(f"of {count} transcriptions, wrong", wrong, "", 0)
    yield Row(f"of {count} transcriptions, refused and tried again", refused, "")


def attack(port: int, seconds: float) -> None:
    """Fifty clients at a time: half send the corpus, half are slow; each begins anew as soon as it is cut off."""
    os.nice(10)  # they are on other machines, really
    everything = list(corpus())
    over = threading.Event()

    def fast(seed: int) -> None:
        drawn = random.Random(seed)
        while not over.is_set():
            with contextlib.suppress(OSError, ValueError):
                send(drawn.choice(everything), port)

    def slow(seed: int) -> None:
        while not over.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), 30) as connection,
            ):
                connection.sendall(SLOW[seed % len(SLOW)])
                while not over.wait(0.2):
                    connection.sendall(b"x")

    run_clients(
        [threading.Thread(target=fast if n % 2 else slow, args=(n,)) for n in range(HOSTILE)], over, seconds
    )


def run_clients(clients: list[threading.Thread], over: threading.Event, seconds: float) -> None:
    """Have *clients* at work for so long, until they see that it is *over*; says that they are ready."""
    for client in clients:
        client.start()
    print("ready", flush=True)
    time.sleep(seconds)
    over.set()
    for client in clients:
        client.join()


if __name__ == "__main__":
    if sys.argv[1:2] == ["attack"]:
        attack(int(sys.argv[2]), float(sys.argv[3]))
    else:
        table.main(measure)
