"""
`python -m benchmarks.realtime [--quick] [ROW ...]`: live transcription by the real server, of speech sent as it is
said.

ROW is one or more of turns, words, hour, open, idle, hostile, unused; without one, all. A turn begins with its first
sample and ends with its last; what the service waits for after that (500 ms of silence) is not counted.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import av
import numpy as np
from websockets.asyncio.client import connect

from tests.recordings import AUSTEN, AUSTEN_SHORT, CLIPS, Samples

from .accuracy import word_errors
from .hostile import health, run_clients
from .page import worked
from .recordings import long_recording
from .service import Service
from .table import HEADING, Row

RATE = 24_000
PIECE = RATE // 20  # samples that are sent at once
SILENCE = 0.5  # seconds that end a turn
BETWEEN = 1.5  # seconds between turns
SHORT = 5.0  # seconds of what is a short turn
PAUSE = 0.3  # seconds by which recordings are cut into turns
QUIET = 0.02  # of the loudest, what is none of the speech around it
PATIENCE = 60.0  # seconds for the last words
SESSIONS = 4
HOSTILE = 200
KEPT = {"ENGINE_IDLE_SECONDS": "3600", "REALTIME_MINUTES": "120", "TTS_ENGINE": "espeak"}


@dataclass
class Heard:
    """What came back, and when: seconds since the first sample was sent."""

    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def named(self, end: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """The events whose type ends with *end*."""
        return ((at, event) for at, event in self.events if event["type"].endswith(end))

    @property
    def text(self) -> str:
        """All turns."""
        return " ".join(event["transcript"] for _, event in self.named(".completed"))


class Session:
    """A live session that hears what is said at the pace of speech."""

    def __init__(self, service: Service, *, keep: bool = True) -> None:
        self.heard, self._keep, self._open = Heard(), keep, set[str]()
        url = f"ws://127.0.0.1:{service.port}/v1/realtime?intent=transcription"
        self._connecting = connect(url, compression=None, max_size=None)
        self._began = time.monotonic()

    async def __aenter__(self) -> "Session":
        self._socket = await self._connecting
        turns = {"type": "server_vad", "silence_duration_ms": round(1000 * SILENCE)}
        told = {"type": "transcription", "audio": {"input": {"turn_detection": turns}}}
        await self._socket.send(json.dumps({"type": "session.update", "session": told}))
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._socket.close()
        await self._listening

    async def _listen(self) -> None:
        async for message in self._socket:
            event = json.loads(message)
            kind = event["type"].rpartition(".")[2]
            if kind in ("error", "failed"):
                raise ValueError(event)
            if kind == "speech_started":
                self._open.add(event["item_id"])
            elif kind == "completed":
                self._open.discard(event["item_id"])
            if self._keep:
                self.heard.events.append((time.monotonic() - self._began, event))

    async def hear(self, pieces: Iterator[Samples]) -> Heard:
        """Send *pieces*, each when it would have been said, and wait for the last words."""
        self._began = time.monotonic()
        for number, piece in enumerate(pieces):
            await asyncio.sleep(self._began + (number + 1) * PIECE / RATE - time.monotonic())
            audio = base64.b64encode(piece.tobytes()).decode()
            await self._socket.send(f'{{"type": "input_audio_buffer.append", "audio": "{audio}"}}')
        end = time.monotonic() + PATIENCE
        while self._open and time.monotonic() < end and not self._listening.done():
            await asyncio.sleep(0.05)
        return self.heard


def pieces(samples: Samples) -> Iterator[Samples]:
    """*samples* in pieces as a microphone gives them."""
    return (samples[start : start + PIECE] for start in range(0, samples.size, PIECE))


def sound(path: Path) -> Samples:
    """The recording at *path* as a session is sent it."""
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(path) as source:
        frames = [one for frame in [*source.decode(audio=0), None] for one in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def short_turns(samples: Samples) -> Iterator[Samples]:
    """What stands between pauses in *samples*, and is 1 to 5 s long."""
    frame = RATE // 50
    frames = samples[: samples.size // frame * frame].reshape(-1, frame).astype(np.float32)
    loudness = np.sqrt(np.mean(frames**2, axis=1))
    loud = np.flatnonzero(loudness > QUIET * loudness.max())
    for group in np.split(loud, np.flatnonzero(np.diff(loud) > PAUSE * 50) + 1):
        begin, end = group[0] * frame, (group[-1] + 1) * frame
        if 1 <= (end - begin) / RATE <= SHORT:
            yield samples[begin:end]


@dataclass
class Said:
    """Turns one after the other, silence between them, and where each begins and ends, in seconds."""

    samples: Samples
    turns: list[tuple[float, float]]

    @classmethod
    def of(cls, turns: list[Samples]) -> "Said":
        """*turns* in this order."""
        gap = np.zeros(round(BETWEEN * RATE), np.int16)
        parts, spans, at = [gap], [], gap.size
        for turn in turns:
            spans.append((at / RATE, (at + turn.size) / RATE))
            parts += [turn, gap]
            at += turn.size + gap.size
        return cls(np.concatenate([*parts, gap]), spans)

    def lags(self, heard: Heard) -> tuple[list[float], list[float]]:
        """Seconds from the end of each turn and the silence to its text, and from its beginning to its first words."""
        begins = np.array([begin for begin, _ in self.turns])
        started = {
            event["item_id"]: event["audio_start_ms"] / 1000 for _, event in heard.named("speech_started")
        }
        of = {item: max(0, int(np.searchsorted(begins, at + 0.4)) - 1) for item, at in started.items()}
        ends, firsts = {}, {}
        for at, event in heard.named(".completed"):
            ends[of[event["item_id"]]] = at
        for at, event in heard.named(".delta"):
            firsts.setdefault(of[event["item_id"]], at)
        return (
            [at - self.turns[turn][1] - SILENCE for turn, at in ends.items()],
            [at - self.turns[turn][0] for turn, at in firsts.items()],
        )


def percentile(values: list[float], share: float) -> float:
    """The smallest of *values* that at least *share* of them don't pass."""
    return sorted(values)[max(0, round(share * len(values) + 0.5) - 1)]


def measure_turns(quick: bool, folder: Path | None) -> Iterator[Row]:
    """Short turns, one session alone and four at once."""
    paths = sorted(folder.iterdir()) if folder else []
    paths = [path for path in paths if path.suffix in (".flac", ".mp3", ".opus", ".ogg", ".wav")]
    if not paths:
        paths = [*(clip.path for clip in CLIPS), long_recording(2).path]
    turns = [turn for path in paths for turn in short_turns(sound(path))]
    random.Random(1).shuffle(turns)
    turns = turns[: 10 if quick else 40]

    async def sessions(service: Service, said: list[Said]) -> list[Heard]:
        async with contextlib.AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(Session(service)) for _ in said]
            return await asyncio.gather(
                *(s.hear(pieces(one.samples)) for s, one in zip(opened, said, strict=True))
            )

    with Service(KEPT) as service:
        service.transcribe(AUSTEN_SHORT.path)
        alone = 0.0
        for count in (1, SESSIONS):
            said = [
                Said.of(turns[n * len(turns) // count :] + turns[: n * len(turns) // count])
                for n in range(count)
            ]
            before, began = worked(service), time.monotonic()
            heard = asyncio.run(sessions(service, said))
            share = (worked(service) - before) / (time.monotonic() - began)
            found = [one.lags(each) for one, each in zip(said, heard, strict=True)]
            lags = [lag for ends, _ in found for lag in ends]
            firsts = [lag for _, first in found for lag in first]
            what = f"{len(turns)} turns of at most {SHORT:.0f} s" + f", {count} sessions" * (count > 1)
            late = percentile(lags, 0.95)
            yield Row(
                f"{what}: last sample to text, median",
                1000 * statistics.median(lags),
                "ms",
                None if alone else 250,
            )
            yield Row(
                f"{what}: last sample to text, 95th percentile", 1000 * late, "ms", None if alone else 500
            )
            if alone:
                yield Row(f"{what}: the same, over one session", late - alone, "s", 1)
            yield Row(
                f"{what}: first word to first delta, median",
                statistics.median(firsts),
                "s",
                None if alone else 1.2,
            )
            yield Row(f"{what}: turns without text", count * len(turns) - len(lags), "", 0)
            yield Row(f"{what}: of one processor, each session", 100 * share / count, "%")
            alone = late


def measure_words(quick: bool, folder: Path | None) -> Iterator[Row]:
    """Words of a long recording, streamed and as a file."""
    recording = long_recording(2 if quick else 10)

    async def streamed(service: Service) -> Heard:
        async with Session(service) as session:
            return await session.hear(pieces(np.append(sound(recording.path), np.zeros(2 * RATE, np.int16))))

    with Service(KEPT) as service:
        of_file = word_errors(recording.text, service.transcribe(recording.path).json["text"])
        before = worked(service)
        live = word_errors(recording.text, asyncio.run(streamed(service)).text)
        what = f"word errors, {recording.seconds // 60:.0f} min"
        yield Row(f"{what}, as a file", of_file, "%")
        yield Row(f"{what}, live", live, "%", of_file + 1.5)
        share = (worked(service) - before) / recording.seconds
        yield Row("somebody speaks all the time, of one processor", 100 * share, "%")


def measure_hour(quick: bool, folder: Path | None) -> Iterator[Row]:
    """What the service weighs in the first and in the last minute of a long session."""
    minutes = 5 if quick else 60
    once = sound(long_recording(10).path)
    weights: list[float] = []

    def without_end() -> Iterator[Samples]:
        everything = cycle(pieces(once[: once.size // PIECE * PIECE]))
        return (next(everything) for _ in range(minutes * 60 * RATE // PIECE))

    async def look(service: Service) -> None:
        while True:
            await asyncio.sleep(1)
            weights.append((await asyncio.to_thread(service.weigh)).total_mb)

    async def stream(service: Service) -> None:
        async with Session(service, keep=False) as session:
            looking = asyncio.create_task(look(service))
            await session.hear(without_end())
            looking.cancel()

    with Service(KEPT) as service:
        service.transcribe(AUSTEN_SHORT.path)
        asyncio.run(stream(service))
    first, last = statistics.mean(weights[10:60]), statistics.mean(weights[-50:])
    yield Row(f"{minutes} minutes in one session, weight in the first", first, "MB")
    yield Row(f"{minutes} minutes in one session, the last minute over the first", last - first, "MB", 1)


def measure_open(quick: bool, folder: Path | None) -> Iterator[Row]:
    """What an open session weighs after it has heard 11 s, over the first one, which brings the code."""
    said = np.append(sound(AUSTEN.path), np.zeros(2 * RATE, np.int16))

    async def weights(service: Service) -> AsyncIterator[float]:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(SESSIONS):
                session = await stack.enter_async_context(Session(service))
                await session.hear(pieces(said))
                await asyncio.sleep(2)
                yield (await asyncio.to_thread(service.weigh)).total_mb

    async def all_of(service: Service) -> list[float]:
        return [weight async for weight in weights(service)]

    with Service(KEPT) as service:
        service.transcribe(AUSTEN.path)
        before = service.weigh().total_mb
        found = asyncio.run(all_of(service))
    yield Row("the first open session", found[0] - before, "MB")
    yield Row("each further open session", (found[-1] - found[0]) / (SESSIONS - 1), "MB", 2)


def measure_idle(quick: bool, folder: Path | None) -> Iterator[Row]:
    """What a session costs that nobody speaks to, and one that is sent silence."""
    seconds = 20 if quick else 120

    async def quiet(service: Service) -> float:
        async with Session(service):
            await asyncio.sleep(2)
            before = worked(service)
            await asyncio.sleep(seconds)
            return worked(service) - before

    async def silent(service: Service) -> float:
        async with Session(service) as session:
            await session.hear(pieces(np.zeros(2 * RATE, np.int16)))
            before = worked(service)
            await session.hear(pieces(np.zeros(seconds * RATE, np.int16)))
            return worked(service) - before

    with Service(KEPT) as service:
        service.transcribe(AUSTEN_SHORT.path)
        before = worked(service)
        time.sleep(seconds)
        nobody = worked(service) - before
        yield Row(
            "an idle session, of one processor",
            100 * (asyncio.run(quiet(service)) - nobody) / seconds,
            "%",
            0.5,
        )
        yield Row(
            "a session of silence, of one processor",
            100 * (asyncio.run(silent(service)) - nobody) / seconds,
            "%",
        )


def measure_hostile(quick: bool, folder: Path | None) -> Iterator[Row]:
    """/health while two hundred clients open sessions, send garbage, stop reading or vanish; and what is left."""
    seconds = 10 if quick else 60

    async def one_more(service: Service) -> Heard:
        async with Session(service) as session:
            return await session.hear(
                pieces(np.append(sound(AUSTEN_SHORT.path), np.zeros(2 * RATE, np.int16)))
            )

    with Service(KEPT) as service:
        asyncio.run(one_more(service))
        service.get("/health")
        time.sleep(2)
        before, held = service.weigh().total_mb, _descriptors(service)
        command = [sys.executable, "-m", "benchmarks.realtime", "attack", str(service.port), str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as attack:
            assert attack.stdout is not None
            attack.stdout.readline()
            yield from health(service, f"/health, {HOSTILE} hostile clients", seconds * 0.8, 100.0)
        end = time.monotonic() + PATIENCE
        while _descriptors(service) > held and time.monotonic() < end:
            time.sleep(0.2)
        yield Row("descriptors open after them, over before", _descriptors(service) - held, "", 0)
        yield Row("sessions that are not heard after them", not asyncio.run(one_more(service)).text, "", 0)
        yield Row("the service after them, over before", service.weigh().total_mb - before, "MB")


def _descriptors(service: Service) -> int:
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in children)


def attack(port: int, seconds: float) -> None:
    """Two hundred clients at a time, each of which begins anew as soon as it is cut off."""
    os.nice(10)  # they are on other machines, really
    over = threading.Event()
    head = f"GET /v1/realtime HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    def framed(text: bytes) -> bytes:  # with a mask of zeros
        return b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text

    sound = base64.b64encode(bytes(9600)).decode()
    append = framed(json.dumps({"type": "input_audio_buffer.append", "audio": sound}).encode())
    unknown = framed(b'{"type": "x"}')

    def client(number: int) -> None:
        draw = random.Random(number)
        while not over.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), 30) as connection,
            ):
                connection.sendall(head.encode())
                kind = number % 5
                if kind == 0:  # opens, and says nothing
                    over.wait(draw.uniform(1, 5))
                elif kind == 1:  # garbage
                    connection.sendall(draw.randbytes(5000))
                    connection.recv(65536)
                elif kind == 2:  # asks, and never reads
                    connection.settimeout(5)
                    while not over.is_set():
                        connection.sendall(unknown * 100)
                elif kind == 3:  # faster than speech
                    connection.settimeout(5)
                    while not over.is_set():
                        connection.sendall(append)
                else:  # vanishes in the middle of a frame
                    connection.sendall(append[: draw.randrange(len(append))])
            over.wait(draw.uniform(0.5, 1.5))  # a refused one tries again as people do

    run_clients([threading.Thread(target=client, args=(number,)) for number in range(HOSTILE)], over, seconds)


def measure_unused(quick: bool, folder: Path | None) -> Iterator[Row]:
    """What it weighs that sessions could be opened, where nobody ever does."""
    weights: dict[str, list[float]] = {"0": [], "4": []}
    for _ in range(2 if quick else 5):
        for sessions, found in weights.items():
            with Service({"REALTIME_SESSIONS": sessions}) as service:
                for _ in range(50):
                    service.get("/health")
                time.sleep(2)
                found.append(service.weigh().total_mb)
    medians = {sessions: statistics.median(found) for sessions, found in weights.items()}
    yield Row("idle, no session was ever opened", medians["4"], "MB")
    yield Row("idle, over a service that allows none", medians["4"] - medians["0"], "MB", 0.5)


ROWS: dict[str, Callable[[bool, Path | None], Iterator[Row]]] = {
    "turns": measure_turns,
    "words": measure_words,
    "hour": measure_hour,
    "open": measure_open,
    "idle": measure_idle,
    "hostile": measure_hostile,
    "unused": measure_unused,
}


def main() -> None:
    """Print the rows that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", choices=[[], *ROWS], default=[], help=", ".join(ROWS)
    )
    parser.add_argument("--quick", action="store_true", help="shorter recordings and fewer turns")
    parser.add_argument("--speech", type=Path, metavar="FOLDER", help="recordings to cut the turns from")
    parser.add_argument("--no-heading", action="store_true", help="rows only")
    options = parser.parse_args()
    if not options.no_heading:
        print(HEADING)
    for name in options.rows or ROWS:
        for row in ROWS[name](options.quick, options.speech):
            print(row, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["attack"]:
        attack(int(sys.argv[2]), float(sys.argv[3]))
    else:
        main()
