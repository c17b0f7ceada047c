"""The WebSocket itself, over the real server: frames as no well-meaning client sends them, and what they are told."""

import base64
import contextlib
import json
import os
import socket
import struct

import pytest

from app.server import websocket
from app.server.client_socket import watched

from .processes import until
from .server import Server
from .websocket import BINARY, CLOSE, PING, TEXT, Client, Refused, frame

PLAIN = "/api/v1/pam/voice/live"
ROUTES = ("/v1/realtime", "/openai/v1/realtime", "/realtime", PLAIN)
UPDATE = json.dumps({"type": "session.update", "session": {"type": "transcription", "include": []}}).encode()
PROTOCOL, INVALID, TOO_BIG = 1002, 1007, 1009


@pytest.fixture(scope="module")
def server():
    with Server(TTS_ENGINE="espeak", CLIENT_IDLE_SECONDS="2", RATE_LIMIT="100000/minute") as server:
        yield server


@pytest.fixture(autouse=True)
def all_are_gone(server):
    """No session outlives its client."""
    yield
    until(lambda: sessions(server) == 0, "the sessions end", said=lambda: server.log[-2000:])


def sessions(server):
    lines = server.get("/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("realtime_sessions "))


def kinds(client):
    return [message["type"] if isinstance(message, dict) else message for message in client.messages()]


@pytest.mark.parametrize("route", ROUTES)
def test_it_is_opened_pinged_and_closed_at_every_address(server, route):
    with Client(server.port, route) as client:
        client.socket.sendall(frame(b"are you there", PING) + frame(struct.pack("!H", 1000), CLOSE))
        assert ("pong", b"are you there") in list(client.messages())
        assert client.close_code == 1000


def test_a_client_that_was_not_listened_to_is_not_gone(monkeypatch):
    """An engine may take longer for a step than answers to pings are waited for."""
    monkeypatch.setattr(websocket, "PING_SECONDS", 0.0)
    monkeypatch.setattr(websocket, "GONE_SECONDS", 0.0)
    ours, client = socket.socketpair()
    with client, watched(ours, 60) as connection:
        service = websocket.WebSocket(connection)
        client.sendall(frame(b"hello"))
        assert [*service.receive(30)] == [websocket.Part("hello", True)]
        assert [*service.receive(0), *service.receive(0)] == []
        with pytest.raises(websocket.Closed):
            [*service.receive(0)]


def test_the_accept_header_is_that_of_the_standard(server):
    with Client(server.port, PLAIN, {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}) as client:
        assert (
            client.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        )  # RFC 6455, section 1.3
        assert client.headers["connection"].lower() == "upgrade"


def test_a_subprotocol_is_answered_where_it_was_offered_and_no_extension_is(server):
    offered = {
        "Sec-WebSocket-Protocol": "realtime, openai-beta.realtime-v1",
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    }
    with Client(server.port, "/v1/realtime", offered) as client:
        assert client.headers["sec-websocket-protocol"] == "realtime"
        assert "sec-websocket-extensions" not in client.headers
    with Client(server.port, "/v1/realtime") as client:
        assert "sec-websocket-protocol" not in client.headers


@pytest.mark.parametrize("route", ROUTES)
def test_plain_http_is_told_to_upgrade(server, route):
    answer = server.get(route)
    assert answer.status == 426
    assert answer.headers["Upgrade"] == "websocket"
    assert "WebSocket" in answer.error["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Version": ""}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Key": base64.b64encode(bytes(17)).decode()}, 400),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
    ],
)
def test_a_bad_handshake_is_an_answer_and_the_connection_goes_on(server, headers, status):
    with pytest.raises(Refused) as refused:
        Client(server.port, "/v1/realtime", headers)
    assert refused.value.status == status
    assert refused.value.error["message"]


def test_a_page_of_this_host_is_let_in(server):
    for origin in (f"http://127.0.0.1:{server.port}", f"https://127.0.0.1:{server.port}"):
        with Client(server.port, "/v1/realtime", {"Origin": origin}) as client:
            assert client.status == 101


def test_what_is_sent_behind_the_request_counts(server):
    with Client(server.port, "/v1/realtime", behind=frame(UPDATE)) as client:
        assert [one["type"] for one in client.until("session.updated")] == [
            "session.created",
            "session.updated",
        ]


def test_a_message_may_come_in_pieces_with_control_frames_in_between(server):
    with Client(server.port, "/v1/realtime") as client:
        pieces = [UPDATE[at : at + 7] for at in range(0, len(UPDATE), 7)]
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            client.socket.sendall(frame(piece, TEXT if number == 0 else 0, fin=last))
            client.socket.sendall(frame(b"", PING) + frame(b"nobody asked", 10))
        client.socket.sendall(frame(b"", CLOSE))
        assert kinds(client).count("session.updated") == 1
        assert client.close_code == 1005


def test_frames_may_come_byte_by_byte(server):
    with Client(server.port, "/v1/realtime") as client:
        for byte in frame(UPDATE):
            client.socket.sendall(bytes([byte]))
        client.until("session.updated")


def test_letters_may_be_cut_in_two_by_frames(server):
    text = json.dumps({"type": "input_audio_buffer.hören"}, ensure_ascii=False).encode()
    at = text.index("ö".encode()) + 1
    with Client(server.port, "/v1/realtime") as client:
        client.socket.sendall(frame(text[:at], TEXT, fin=False) + frame(text[at:], 0))
        client.until("error")


WRONG = {
    "a reserved bit": (frame(UPDATE, reserved=4), PROTOCOL),
    "another reserved bit": (frame(UPDATE, reserved=1), PROTOCOL),
    "a reserved bit in a control frame": (frame(b"", PING, reserved=2), PROTOCOL),
    "an unknown frame": (frame(b"", 3), PROTOCOL),
    "an unknown control frame": (frame(b"", 11), PROTOCOL),
    "without a mask": (frame(UPDATE, masked=False), PROTOCOL),
    "a ping in pieces": (frame(b"a", PING, fin=False), PROTOCOL),
    "a ping of 126 bytes": (frame(bytes(126), PING), PROTOCOL),
    "a piece of nothing": (frame(b"more", 0), PROTOCOL),
    "a message within a message": (frame(b"{", TEXT, fin=False) + frame(UPDATE), PROTOCOL),
    "other kinds within a message": (frame(b"{", TEXT, fin=False) + frame(b"\0", BINARY), PROTOCOL),
    "a length that is longer than needed": (b"\x81\xfe\x00\x05" + bytes(9), PROTOCOL),
    "a long length that is longer than needed": (b"\x81\xff" + struct.pack("!Q", 5) + bytes(9), PROTOCOL),
    "a length with the highest bit": (b"\x81\xff" + struct.pack("!Q", 1 << 63) + bytes(9), PROTOCOL),
    "a text that is no UTF-8": (frame(b'{"type": "\xff"}'), INVALID),
    "half a letter": (frame(b'{"type": "\xc3'), INVALID),
    "half a letter, in pieces": (frame(b"\xc3", TEXT, fin=False) + frame(b"(", 0), INVALID),
    "a surrogate": (frame(b"\xed\xa0\x80"), INVALID),
    "half a code": (frame(b"\x03", CLOSE), PROTOCOL),
    "a code that says there is none": (frame(struct.pack("!H", 1005), CLOSE), PROTOCOL),
    "a code nobody knows": (frame(struct.pack("!H", 1999), CLOSE), PROTOCOL),
    "a code below all": (frame(struct.pack("!H", 999), CLOSE), PROTOCOL),
    "a reason that is no UTF-8": (frame(struct.pack("!H", 1000) + b"\xff\xff", CLOSE), INVALID),
    "plain HTTP": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", PROTOCOL),
    "zeros": (bytes(4096), PROTOCOL),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("route", ["/v1/realtime", PLAIN])
def test_what_is_against_the_protocol_closes_with_its_code(server, route, name):
    sent, code = WRONG[name]
    with Client(server.port, route) as client:
        client.socket.sendall(sent)
        assert all(kind in ("session.created", ("pong", b"")) for kind in kinds(client))
        assert client.close_code == code


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, b""), (1001, b"leaving"), (1011, "schade ö".encode()), (3000, b""), (4999, b"own")],
)
def test_the_clients_own_code_comes_back(server, code, reason):
    with Client(server.port, "/v1/realtime") as client:
        client.socket.sendall(
            frame(struct.pack("!H", code) + reason, CLOSE) + frame(UPDATE) + os.urandom(2000)
        )
        assert "session.updated" not in kinds(client)
        assert client.close_code == code


@pytest.mark.parametrize("pieces", [1, 40])
def test_a_message_of_more_than_15_mib_is_too_big(server, pieces):
    size = (15 << 20) // pieces + 1000
    with Client(server.port, "/v1/realtime") as client:
        with contextlib.suppress(OSError):
            for number in range(pieces):
                client.socket.sendall(frame(b" " * size, 0 if number else TEXT, fin=number == pieces - 1))
        assert "error" not in kinds(client)
        assert client.close_code in (TOO_BIG, 1006)  # 1006: while this was still sending
    until(lambda: "sent_too_long_a_message" in server.log, "the session's line")


def test_who_says_no_more_is_left(server):
    with Client(server.port, "/v1/realtime") as client:
        client.socket.shutdown(socket.SHUT_WR)
        kinds(client)
        assert client.close_code == 1006


def test_who_vanishes_is_left(server):
    client = Client(server.port, "/v1/realtime")
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()  # a reset


def test_who_reads_nothing_is_left(server):
    """What is said to it would otherwise have to be kept."""
    with Client(server.port, "/v1/realtime") as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        client.socket.settimeout(0.5)
        flood = frame(b'{"type": "nothing"}') * 1000
        with contextlib.suppress(OSError):
            while True:
                client.socket.sendall(flood)
        until(lambda: "too_slow_to_read" in server.log, "it is left", said=lambda: server.log[-2000:])


def test_more_sessions_than_allowed_are_refused_before_the_upgrade(server):
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(Client(server.port, "/v1/realtime"))
        with pytest.raises(Refused) as refused:
            Client(server.port, PLAIN, patience_seconds=0)
        assert refused.value.status == 503
        assert int(refused.value.headers["retry-after"]) > 0
        assert refused.value.error["code"] == "queue_full"
        assert server.get("/health").status == 200
        assert sessions(server) == 4
        until(  # a sample is a second old at most
            lambda: server.get("/api/memory/history").json["samples"][-1]["sessions"] == 4,
            "the history has them",
        )


def test_no_key_is_in_the_log_and_every_session_has_a_line(server):
    with Client(server.port, "/v1/realtime") as client:
        request_id = client.headers["x-request-id"]
    until(lambda: f"request_id={request_id} live route=/v1/realtime" in server.log, "the line of its end")


def test_sessions_are_not_cut_off_for_those_who_wait_and_take_no_thread_kept_for_health():
    """Of eight threads four are kept for health, and two are theirs; slow uploads make way instead of them."""
    with (
        Server(TTS_ENGINE="espeak", WEB_THREADS="8", ENGINE_SEATS="2") as server,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(Client(server.port, "/v1/realtime")) for _ in range(2)]
        with pytest.raises(Refused):
            Client(server.port, "/v1/realtime", patience_seconds=0)
        slow = f"POST {PLAIN[:-5]}/speak HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{{".encode()
        for _ in range(12):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(slow)
        assert server.get("/health").status == 200
        until(lambda: "a slow client was cut off" in server.log, "somebody makes way")
        for client in clients:
            client.socket.sendall(frame(UPDATE))
            client.until("session.updated")


def test_the_limit_is_that_of_all_workers():
    with (
        Server(TTS_ENGINE="espeak", WEB_CONCURRENCY="2", REALTIME_SESSIONS="2") as server,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(2):
            stack.enter_context(Client(server.port, "/v1/realtime"))
        for _ in range(8):  # whichever worker it is that is asked
            with pytest.raises(Refused) as refused:
                Client(server.port, "/v1/realtime", patience_seconds=0)
            assert refused.value.status == 503
