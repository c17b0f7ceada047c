"""Two hundred clients of WebSockets that mean no good: others are answered meanwhile, and nothing of them is kept."""

import contextlib
import json
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import memory
from tests.processes import until
from tests.server import Server
from tests.websocket import BINARY, TEXT, Client, Refused, frame

CLIENTS, AT_ONCE = 200, 24
ROUTES = ("/v1/realtime", "/api/v1/pam/voice/live")
KEPT_MB = 6


def opens_and_waits(client: Client, drawn: random.Random) -> None:
    client.wait_for(0.2)


def vanishes(client: Client, drawn: random.Random) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says_no_more(client: Client, drawn: random.Random) -> None:
    client.socket.shutdown(socket.SHUT_WR)
    list(client.messages())


def sends_noise(client: Client, drawn: random.Random) -> None:
    client.socket.sendall(drawn.randbytes(drawn.randrange(1, 200_000)))


def sends_noise_in_frames(client: Client, drawn: random.Random) -> None:
    for _ in range(40):
        opcode, size = drawn.choice([TEXT, BINARY, 0, 8, 9, 10, 3]), drawn.choice([0, 1, 100, 200, 70_000])
        client.socket.sendall(frame(drawn.randbytes(size), opcode, fin=drawn.random() < 0.7))


def sends_half_a_frame(client: Client, drawn: random.Random) -> None:
    whole = frame(b" " * 300_000)
    client.socket.sendall(whole[: drawn.randrange(len(whole))])


def sends_events_of_rubbish(client: Client, drawn: random.Random) -> None:
    kinds = [
        "session.update",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "response.create",
        "",
        None,
    ]
    values = [None, 7, "x", [], {}, {"input": 3}, {"input": {"format": []}}, -1e308, "\ud800", "\0"]
    for _ in range(60):
        event = {
            "type": drawn.choice(kinds),
            "session": {"audio": drawn.choice(values)},
            "audio": drawn.choice(values),
        }
        client.send(json.dumps(event))
    client.send("[" * 50_000)
    client.wait_for(0.2)


def announces_much(client: Client, drawn: random.Random) -> None:
    client.socket.sendall(b"\x81\xff" + struct.pack("!Q", 1 << 62) + bytes(4) + b" " * 100_000)


def reads_nothing(client: Client, drawn: random.Random) -> None:
    client.socket.settimeout(0.3)
    for _ in range(200):
        client.socket.sendall(frame(b'{"type": "nothing"}') * 100)


def pings_without_end(client: Client, drawn: random.Random) -> None:
    client.socket.settimeout(0.3)
    for _ in range(100):
        client.socket.sendall(frame(bytes(125), 9) * 50)


def dribbles(client: Client, drawn: random.Random) -> None:
    for byte in frame(b'{"type": "session.update"}')[:20]:
        client.socket.sendall(bytes([byte]))
        time.sleep(0.02)


ATTACKS: list[Callable[[Client, random.Random], None]] = [
    opens_and_waits, vanishes, says_no_more, sends_noise, sends_noise_in_frames, sends_half_a_frame,
    sends_events_of_rubbish, announces_much, reads_nothing, pings_without_end, dribbles,
]  # fmt: skip


def attack(number: int, port: int, patience_seconds: float = 0.0) -> int:
    """The status its upgrade was answered with; 0 where there was no answer. Where all sessions are taken, it waits."""
    drawn = random.Random(number)
    status = 0
    with contextlib.suppress(OSError, EOFError):
        try:
            with Client(port, drawn.choice(ROUTES), patience_seconds=patience_seconds) as client:
                status = 101
                ATTACKS[number % len(ATTACKS)](client, drawn)
        except Refused as refused:
            status = refused.status
    return status


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(TTS_ENGINE="espeak", CLIENT_IDLE_SECONDS="2", REALTIME_SESSIONS="8") as server:
        yield server


def own_mb(server: Server) -> float:
    processes = server.get("/api/memory").json["service"]["processes"]
    return sum(memory.footprint(one["pid"]).uss_mb for one in processes if one["role"] in ("master", "web"))


def open_files(server: Server) -> int:
    (web,) = [
        one["pid"] for one in server.get("/api/memory").json["service"]["processes"] if one["role"] == "web"
    ]
    return len(os.listdir(f"/proc/{web}/fd"))


def test_two_hundred_clients_leave_nothing_and_keep_nobody_from_being_answered(server):
    for number in range(len(ATTACKS) * 2):  # what is loaded once, and threads
        attack(number, server.port)
    until(lambda: b"\nrealtime_sessions 0.0" in server.get("/metrics").body, "the sessions end")
    before_mb, before_files = own_mb(server), open_files(server)
    over = threading.Event()
    answers = []

    def asks() -> None:
        while not over.is_set():
            answers.append(server.get("/health").status)
            time.sleep(0.05)

    asking = threading.Thread(target=asks)
    asking.start()
    # Of those that do not wait, a fast machine refuses nearly all before a session ends.
    patience = [60.0] * 2 * len(ATTACKS) + [0.0] * (CLIENTS - 2 * len(ATTACKS))
    with ThreadPoolExecutor(AT_ONCE) as clients:
        ports = [server.port] * CLIENTS
        statuses = list(clients.map(attack, range(CLIENTS), ports, patience))
    over.set()
    asking.join()
    assert set(answers) == {200}
    assert set(statuses) <= {101, 503}
    assert statuses.count(101) > len(ATTACKS)
    until(lambda: b"\nrealtime_sessions 0.0" in server.get("/metrics").body, "the sessions end")
    until(lambda: open_files(server) <= before_files, "the sockets are closed")
    assert own_mb(server) < before_mb + KEPT_MB
    with Client(server.port, "/v1/realtime") as client:
        client.until("session.created")
    wrong = [line for line in server.log.splitlines() if "Traceback" in line or "end=failed" in line]
    assert wrong == []
