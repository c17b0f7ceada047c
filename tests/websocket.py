"""A WebSocket's client for tests: it sends what it is told to, whole messages or any bytes, and notes what comes."""

import base64
import contextlib
import json
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any

LIMIT_SECONDS = 60.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """A frame as a client sends it, or as one does that is not well."""
    size = len(payload)
    first = bytes([fin << 7 | reserved << 4 | opcode])
    if size < 126:
        head = first + bytes([masked << 7 | size])
    elif size < 1 << 16:
        head = first + bytes([masked << 7 | 126]) + struct.pack("!H", size)
    else:
        head = first + bytes([masked << 7 | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    key = (mask * (size // 4 + 1))[:size]
    hidden = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    return head + mask + hidden


class Refused(Exception):
    """The server answered with a status instead."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"{status} {body!r}")
        self.status, self.headers, self.body = status, headers, body

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]


class Client:
    """
    A client of *port*; `close_code` is the server's, None while it has sent none, 1006 where it only went.

    Where all sessions are taken it comes again, for *patience_seconds*: the service sees a moment later that one left.
    """

    def __init__(
        self,
        port: int,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        behind: bytes = b"",
        patience_seconds: float = 20.0,
    ) -> None:
        end = time.monotonic() + patience_seconds
        while True:
            try:
                return self._connect(port, path, headers, behind)
            except Refused as refused:
                if refused.status != 503 or b"queue_full" not in refused.body or time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def _connect(self, port: int, path: str, headers: Mapping[str, str] | None, behind: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.close_code: int | None = None
        self.close_reason = ""
        self.pings = 0
        self._heard = bytearray()
        sent = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **(headers or {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode() + behind)
        head = self._until(b"\r\n\r\n").decode("latin-1")
        first, *rest = head.split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in rest if line)
        }
        if self.status != 101:
            body = self._take(int(self.headers.get("content-length", 0)))
            self.socket.close()
            raise Refused(self.status, self.headers, body)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def _more(self) -> None:
        received = self.socket.recv(1 << 16)
        if not received:
            raise EOFError
        self._heard += received

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._heard:
            self._more()
        return self._take(self._heard.index(mark) + len(mark))

    def _take(self, size: int) -> bytes:
        while len(self._heard) < size:
            self._more()
        found = bytes(self._heard[:size])
        del self._heard[:size]
        return found

    def send(self, message: Mapping[str, Any] | str | bytes) -> None:
        if isinstance(message, bytes):
            self.socket.sendall(frame(message, BINARY))
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            self.socket.sendall(frame(text.encode()))

    def append(self, pcm: bytes, **more: Any) -> None:
        self.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode(), **more})

    def messages(self) -> Iterator[Any]:
        """What comes, as JSON, until the server closes; pings are answered."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while self.close_code is None:
                first, second = self._take(2)
                size = second & 127
                if size == 126:
                    (size,) = struct.unpack("!H", self._take(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", self._take(8))
                payload, opcode = self._take(size), first & 15
                if opcode == CLOSE:
                    self.close_code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                    self.close_reason = payload[2:].decode()
                    with contextlib.suppress(OSError):
                        self.socket.sendall(frame(payload[:2], CLOSE))
                elif opcode == PING:
                    self.pings += 1
                    self.socket.sendall(frame(payload, PONG))
                elif opcode == PONG:
                    yield ("pong", payload)
                else:
                    yield json.loads(payload)
            return
        self.close_code = 1006

    def until(self, kind: str) -> list[Any]:
        """What comes until an event of that type; an AssertionError when the server closes before."""
        found = []
        for message in self.messages():
            found.append(message)
            if message.get("type") == kind:
                return found
        raise AssertionError(f"closed with {self.close_code} {self.close_reason} before {kind}: {found[-5:]}")

    def wait_for(self, seconds: float) -> bool:
        """Whether anything comes within *seconds*."""
        return bool(self._heard) or bool(select.select([self.socket], [], [], seconds)[0])

    def talk(self, pcm: bytes, *, rate: int = 24_000, ms: int = 100, speed: float = 0.0) -> None:
        """Append *pcm* in pieces; with a *speed* as somebody speaks who is so much faster than people are."""
        step = rate * ms // 1000 * 2
        for begin in range(0, len(pcm), step):
            self.append(pcm[begin : begin + step])
            if speed:
                time.sleep(ms / 1000 / speed)
