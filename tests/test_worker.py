"""The worker, over the real server: slow clients take no thread that others need."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.config import PROJECT
from tests.likeness import understood
from tests.processes import free_port, until
from tests.recordings import AUSTEN_SHORT

from .server import Server, form

IDLE_SECONDS = 1
THREADS = 6
ANSWER_SECONDS = 120  # within which anything comes: a transcription, too, where the machine has much to do
UPLOAD = b"POST /api/v1/pam/voice/transcribe HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A server of six threads, four for requests with a body, that waits a second for a client."""
    environment = {
        "WEB_THREADS": str(THREADS),
        "ENGINE_SEATS": "2",
        "CLIENT_IDLE_SECONDS": str(IDLE_SECONDS),
        "ENGINE_IDLE_SECONDS": "2",
        "TTS_ENGINE": "espeak",
    }
    with Server(**environment) as server:
        yield server


def connected(server: Server, said: bytes = b"") -> socket.socket:
    """A connection that has said something."""
    connection = socket.create_connection(("127.0.0.1", server.port), ANSWER_SECONDS)
    connection.sendall(said)
    return connection


def heard(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            found += part
    return found


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Half: ",
        UPLOAD + b"Content-Length: 20000000\r\n\r\nRIFF",
        pytest.param(UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nRI", marks=pytest.mark.long),
        pytest.param(
            b'POST /api/v1/pam/voice/speak HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{"text": "',
            marks=pytest.mark.long,
        ),
        b"POST /nothing/here HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n",
    ],
    ids=[
        "nothing",
        "half a head",
        "an upload",
        "chunks",
        "JSON",
        "a refused body",
        "no goodbye",
        "a body unread",
    ],
)
def test_who_stops_in_the_middle_keeps_nobody_waiting(small, said):
    """Four times as many of them as there are threads."""
    with ExitStack() as hostile:
        for _ in range(4 * THREADS):
            hostile.enter_context(contextlib.closing(connected(small, said)))
        assert small.get("/health").status == 200
        answer = small.post("/api/v1/pam/voice/speak", {"text": "Hello.", "format": "wav"})
        assert answer.status == 200


def test_a_slow_client_makes_way_only_when_others_wait(small):
    """One that dribbles is heard to its end as long as nobody needs its thread."""
    body, content_type = form(AUSTEN_SHORT.path.read_bytes())
    head = UPLOAD.replace(b"audio/wav", content_type.encode()) + b"Connection: close\r\n"
    connection = connected(small, head + b"Content-Length: %d\r\n\r\n" % len(body))
    with contextlib.closing(connection):
        step = len(body) // 15 + 1
        for begin in range(0, len(body), step):
            connection.sendall(body[begin : begin + step])
            time.sleep(0.1)  # the client's own pace
        answer = heard(connection)
    head, _, said = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert understood(json.loads(said)["text"], AUSTEN_SHORT.text)


def test_who_says_nothing_is_left_and_told_so(small):
    with contextlib.closing(connected(small, b"GET /health HTTP/1.1\r\nHo")) as connection:
        assert heard(connection).startswith(b"HTTP/1.1 408")
    with contextlib.closing(connected(small, UPLOAD + b"Content-Length: 5000\r\n\r\nRIFF")) as connection:
        assert heard(connection).startswith(b"HTTP/1.1 400")
    with contextlib.closing(connected(small)) as connection:
        assert heard(connection) == b""


def test_a_reader_who_stops_reading_frees_its_thread(small):
    """Thirteen megabytes of audio: more than the kernel keeps for somebody who does not read."""
    said = b'{"text": "%s", "format": "wav", "speed": 0.25}' % (b"one hundred million, " * 190)
    request = b"POST /api/v1/pam/voice/speak HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\n\r\n" % len(said)
    with ExitStack() as hostile:
        for _ in range(2):  # as many as there are seats
            connection = hostile.enter_context(contextlib.closing(connected(small, request + said)))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        said = {"text": "Hi.", "voice": "en"}
        until(
            lambda: small.post("/api/v1/pam/voice/speak", said).status == 200,
            "the seats of who does not read are free",
        )


def test_a_head_past_16_kb_is_refused_without_a_thread(small):
    with contextlib.closing(connected(small, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000)) as connection:
        assert heard(connection).startswith(b"HTTP/1.1 431")


def test_of_those_who_wait_with_their_heads_the_oldest_goes_first(small):
    with ExitStack() as hostile:
        first = hostile.enter_context(contextlib.closing(connected(small, b"GET / HT")))
        for _ in range(300):
            hostile.enter_context(contextlib.closing(connected(small, b"GET / HT")))
        assert heard(first).startswith(b"HTTP/1.1 408")
        assert small.get("/health/live").status == 200


def test_requests_one_behind_the_other_are_all_answered(small):
    one = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with contextlib.closing(connected(small, one * 20 + last)) as connection:
        assert heard(connection).count(b"HTTP/1.1 200") == 21


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"HEAD /health HTTP/1.1", b"200"),
        (b"GET /static/page.js HTTP/1.1", b"200"),
        (b"HEAD /static/page.js HTTP/1.1", b"200"),
        (b"OPTIONS /health HTTP/1.1", b"200"),
        (b"GET /nowhere HTTP/1.1", b"404"),
    ],
)
def test_an_answer_is_sent_at_once_with_or_without_a_body(small, request_line, status):
    """Its head waits for its first part; one without a part, or whose file the kernel sends, must not wait for ever."""
    with contextlib.closing(connected(small)) as connection:
        for _ in range(2):  # the connection stays open
            connection.sendall(request_line + b"\r\nHost: x\r\n\r\n")
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 " + status)
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
            while request_line.startswith(b"GET") and len(body) < length:
                body += connection.recv(65_536)


def wait_for_a_seat(server: Server) -> None:
    """Return when nobody speaks: whoever was cut off before this test had a seat for a moment longer."""

    def taken():
        engines = server.get("/api/memory").json["budget"]["engines"]
        return sum(engine["seats_taken"] for engine in engines)

    until(lambda: not taken(), "the seats of those who were cut off are free")


def test_a_head_may_come_in_pieces_and_its_body_later(small):
    wait_for_a_seat(small)
    with contextlib.closing(connected(small)) as connection:
        said = b"POST /api/v1/pam/voice/speak HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\nConnection: close\r\n\r\n"
        for byte in said:
            connection.sendall(bytes([byte]))
        connection.sendall(b'{"text": "Hi", "format":"wav"}')
        assert heard(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.long
def test_fifty_hostile_clients_do_not_change_what_an_honest_one_hears(small):
    """They begin anew as soon as they are cut off; the honest one is answered, and rightly."""
    over = threading.Event()
    kinds = [
        b"GET / HT",
        UPLOAD + b"Content-Length: 9000000\r\n\r\n",
        b"",
        b"GET /x HTTP/1.0\r\n\r\n",
        b"\0" * 50,
    ]

    def attack(said: bytes) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), contextlib.closing(connected(small, said)) as connection:
                for _ in range(50):
                    if over.wait(0.1):
                        break
                    connection.sendall(b"x")

    clients = [threading.Thread(target=attack, args=(kinds[n % len(kinds)],)) for n in range(50)]
    for client in clients:
        client.start()
    try:
        for _ in range(2):
            answer = small.upload("/api/v1/pam/voice/transcribe", AUSTEN_SHORT.path.read_bytes())
            assert understood(answer.json["text"], AUSTEN_SHORT.text)
            assert small.get("/health").status == 200
    finally:
        over.set()
        for client in clients:
            client.join()


def test_it_stops_at_once_with_clients_in_every_state():
    with Server(CLIENT_IDLE_SECONDS="20") as server, ExitStack() as hostile:
        for said in (b"", b"GET / HT", UPLOAD + b"Content-Length: 90\r\n\r\n"):
            hostile.enter_context(contextlib.closing(connected(server, said)))
        assert server.stop() == 0


def test_every_request_that_was_answered_has_its_line_when_the_service_ends():
    answered = []
    with Server() as server:

        def ask(client):
            with contextlib.suppress(OSError, http.client.HTTPException):
                for number in range(10_000):
                    name = f"client-{client}-{number}"
                    if server.get("/health/live", **{"X-Request-ID": name}).status == 200:
                        answered.append(name)

        clients = [threading.Thread(target=ask, args=(client,)) for client in range(4)]
        for client in clients:
            client.start()
        until(lambda: len(answered) > 100, "there is some load")
        server.stop()
        for client in clients:
            client.join()
        logged = re.findall(
            r"request_id=(client-\d-\d+) method=GET route=/health/live status=200", server.log
        )
        assert len(logged) == len(set(logged))
        assert set(answered) <= set(logged)


SWITCHING = """
import sys, threading
free = threading.Event()
def app(environ, start_response):
    if environ["PATH_INFO"] == "/hold":
        free.wait(60)
    elif environ["PATH_INFO"] == "/free":
        free.set()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(sys.getswitchinterval()).encode()]
"""


def test_threads_take_turns_more_often_while_most_of_them_are_busy(tmp_path):
    (tmp_path / "switching.py").write_text(SWITCHING)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", "--threads=6", "switching:app"]
    held: list[threading.Thread] = []
    with subprocess.Popen(
        [*command, "--worker-class=app.server.worker.Worker"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stderr=subprocess.DEVNULL,
    ) as gunicorn:

        def told(path="/"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.request("GET", path)
                return connection.getresponse().read()

        try:
            until(lambda: told() == b"0.005", "it answers, and threads take Python's turns")
            held = [threading.Thread(target=told, args=("/hold",)) for _ in range(4)]
            for one in held:
                one.start()
            until(lambda: told() == b"0.0005", "the turns are short")
            told("/free")
            until(lambda: told() == b"0.005", "the turns are as before")
        finally:
            gunicorn.terminate()
            for one in held:
                one.join()
