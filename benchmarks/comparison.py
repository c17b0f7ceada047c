"""
What people would otherwise deploy, beside this service: the same recordings, model, beam and processors.

Flask with faster-whisper in the web process (`usual.py`), and wyoming-faster-whisper 3.8.1, the speech server of Home
Assistant, in a virtual environment of its own. PSS of all processes.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .recordings import CLIP, KEPT, Recording, long_recording
from .service import Service, processors
from .stock import published_whisper
from .table import Row, main
from .weighing import Peak, weigh

WYOMING = "wyoming-faster-whisper==3.8.1"
SETTLING_SECONDS = 5  # after the last answer: our engine leaves after 3
START_LIMIT_SECONDS = 60
RATE = 16_000


@dataclass(frozen=True)
class Server:
    """A server that runs: the process to weigh, and how to have a recording transcribed."""

    name: str
    pid: int
    transcribe: Callable[[Path], str]


def measure(quick: bool) -> Iterator[Row]:
    """Idle, peaks and time, and what is left, of each."""
    lengths = [long_recording(2 if quick else 10)]
    with Service() as service:
        yield from figures(Server("this service", service.pid, asked(service)), lengths)
    with usual() as service:
        yield from figures(Server("Flask + faster-whisper", service.pid, asked(service)), lengths)
    with Wyoming() as wyoming:
        yield from figures(Server("wyoming-faster-whisper", wyoming.pid, wyoming.transcribe), lengths)


def usual() -> Service:
    """Flask with faster-whisper in its web process."""
    return Service(
        {"STOCK_MODEL": str(published_whisper())},
        application="usual:app",
        folder=Path(__file__).parent,
        options=("--worker-class", "gthread", "--threads", "24", "--timeout", "600"),
    )


def figures(server: Server, recordings: list[Recording]) -> Iterator[Row]:
    """The rows of one server."""
    yield Row(f"{server.name}: started", weigh(server.pid).total_mb, "MB")
    for recording in [CLIP, *recordings]:
        began = time.perf_counter()
        with Peak(server.pid) as peak:
            text = server.transcribe(recording.path)
        seconds = time.perf_counter() - began
        if not text:
            raise RuntimeError(f"{server.name} found no text in {recording.path.name}")
        yield Row(f"{server.name}: peak, {recording.seconds:.0f} s of speech", peak.total_mb, "MB")
        yield Row(f"{server.name}: time, {recording.seconds:.0f} s of speech", seconds, "s")
    time.sleep(SETTLING_SECONDS)
    yield Row(f"{server.name}: {SETTLING_SECONDS} s after the last answer", weigh(server.pid).total_mb, "MB")


def asked(service: Service) -> Callable[[Path], str]:
    """How to ask a server over HTTP."""

    def transcribe(path: Path) -> str:
        return str(service.transcribe(path).json["text"])

    return transcribe


class Wyoming:
    """wyoming-faster-whisper on the loopback interface, from `__enter__` to `__exit__`."""

    def __enter__(self) -> "Wyoming":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = probe.getsockname()
        options = ["--model", str(published_whisper()), "--data-dir", str(KEPT), "--language", "en"]
        options += ["--compute-type", "int8", "--beam-size", "1", "--cpu-threads", str(processors())]
        uri = f"tcp://127.0.0.1:{self._address[1]}"
        self._process = subprocess.Popen(
            [environment() / "bin" / "wyoming-faster-whisper", "--uri", uri, *options],
            stderr=subprocess.DEVNULL,  # every transcript
        )
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            try:
                socket.create_connection(self._address, 1).close()
                return self
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.__exit__()
                    raise
                time.sleep(0.05)

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    @property
    def pid(self) -> int:
        """The server's."""
        return self._process.pid

    def transcribe(self, path: Path) -> str:
        """The text of a recording, sent as its protocol wants it: events, each a line of JSON, then its audio."""
        shape = {"rate": RATE, "width": 2, "channels": 1}
        with socket.create_connection(self._address, START_LIMIT_SECONDS) as connection:
            connection.settimeout(600)
            stream = connection.makefile("rwb")
            for kind, data, payload in (
                ("transcribe", {}, b""),
                ("audio-start", shape, b""),
                *(("audio-chunk", shape, chunk) for chunk in samples(path)),
                ("audio-stop", {}, b""),
            ):
                event = {"type": kind, "data": data, "payload_length": len(payload)}
                stream.write(json.dumps(event).encode() + b"\n" + payload)
            stream.flush()
            while line := stream.readline():
                event = json.loads(line)
                data = stream.read(event.get("data_length") or 0)
                stream.read(event.get("payload_length") or 0)
                if event["type"] == "transcript":
                    return str(json.loads(data or b"{}").get("text") or event["data"]["text"])
        raise EOFError("the server closed the connection without a transcript")


def environment() -> Path:
    """Its virtual environment, made once."""
    folder = KEPT / "wyoming"
    if not (folder / "bin" / "wyoming-faster-whisper").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", WYOMING], check=True)
    return folder


def samples(path: Path) -> Iterator[bytes]:
    """A recording as 16 kHz mono samples of 16 bits, in pieces of a few hundredths of a second."""
    import av

    with av.open(str(path)) as container:
        resampler = av.audio.resampler.AudioResampler(format="s16", layout="mono", rate=RATE)
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().tobytes()


if __name__ == "__main__":
    main(measure)
