"""OpenAI's dialect, asked by OpenAI's client: beside our own route, streamed, and by twenty clients at once."""

import operator
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
from openai import APIError, OpenAI

from .recordings import CLIP, KEPT, long_recording
from .service import Service
from .table import Row, main

CLIENTS = 20
WINDOW_SECONDS = 29  # what ends within a window of 30 s is one window


def measure(quick: bool) -> Iterator[Row]:
    """Issue 5's figures."""
    rounds = 5 if quick else 21
    with Service({"ENGINE_IDLE_SECONDS": "600"}) as service, client_of(service) as client:
        yield from beside_own_route(service, client, rounds)
        yield from at_once(service)
        yield from streamed(service, client, max(3, rounds // 3))


def client_of(service: Service, **options: int) -> OpenAI:
    """The official client with its own defaults."""
    return OpenAI(base_url=f"http://127.0.0.1:{service.port}/v1", api_key="unused", **options)


def beside_own_route(service: Service, client: OpenAI, rounds: int) -> Iterator[Row]:
    """Medians of alternating runs of an 11 s clip, the engine awake."""
    own, dialect = [], []
    for _ in range(rounds + 1):
        own.append(service.transcribe(CLIP.path).seconds)
        began = time.perf_counter()
        client.audio.transcriptions.create(model="whisper-1", file=CLIP.path)
        dialect.append(time.perf_counter() - began)
    own, dialect = own[1:], dialect[1:]  # the first woke the engine
    yield Row("11 s, own route", statistics.median(own), "s")
    yield Row("11 s, OpenAI's client", statistics.median(dialect), "s")
    ratio = statistics.median(map(operator.truediv, dialect, own))
    yield Row("11 s, OpenAI's client: times the own route", ratio, "x", 1.05)


def streamed(service: Service, client: OpenAI, rounds: int) -> Iterator[Row]:
    """When the headers and the first text of a long recording are here, beside its first window alone."""
    whole, window = long_recording(2), first_window(long_recording(2).path)
    headers, deltas, windows = [], [], []
    for _ in range(rounds):
        windows.append(service.transcribe(window).seconds)
        began = time.perf_counter()
        with client.audio.transcriptions.create(model="whisper-1", file=whole.path, stream=True) as stream:
            headers.append(time.perf_counter() - began)
            next(iter(stream))
            deltas.append(time.perf_counter() - began)
    yield Row("2 min, streamed: first byte", statistics.median(headers), "s", 1.0)
    yield Row("2 min, streamed: first text", statistics.median(deltas), "s")
    ratio = statistics.median(map(operator.truediv, deltas, windows))
    yield Row("2 min, streamed: first text, times a window alone", ratio, "x", 1.2)


def first_window(recording: Path) -> Path:
    """The beginning of a recording, as a file."""
    path = KEPT / f"{recording.stem}_first_window.flac"
    with av.open(recording) as source, av.open(path, "w") as target:
        stream = target.add_stream("flac", 16_000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 16_000)
        written = 0
        for frame in source.decode(audio=0):
            for resampled in resampler.resample(frame):
                if written < WINDOW_SECONDS * 16_000:
                    target.mux(stream.encode(resampled))
                    written += resampled.samples
        target.mux(stream.encode(None))
    return path


def at_once(service: Service) -> Iterator[Row]:
    """Twenty clients with a clip each, as patient as the client is by default."""
    seconds: list[float] = []
    errors: list[str] = []

    def ask() -> None:
        began = time.perf_counter()
        with client_of(service) as client:
            try:
                client.audio.transcriptions.create(model="whisper-1", file=CLIP.path)
            except APIError as error:
                errors.append(error.message)
        seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield Row(f"{CLIENTS} clients at once: not answered", len(errors), "", 0)
    yield Row(f"{CLIENTS} clients at once: the last one's answer", max(seconds), "s")


if __name__ == "__main__":
    main(measure)
