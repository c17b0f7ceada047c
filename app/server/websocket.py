"""
A WebSocket (RFC 6455) on a request's socket, read and written by the thread of that request.

wsproto makes and reads frames, and hands over the parts of a message as they come; what it leaves to its user is here:
the socket, pings, the longest message, and when a client counts as gone. Imported by the first socket: 0.9 MB.
"""

import contextlib
import fcntl
import select
import socket
import struct
import termios
import time
from collections.abc import Iterator
from typing import NamedTuple

from wsproto.connection import SERVER, Connection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from ..errors import ClientGone
from .client_socket import ClientSocket

LONGEST_MESSAGE = 15 << 20  # bytes, in any number of frames; OpenAI's limit
PART_BYTES = 1 << 15  # read at a time: half a second of PCM at 24 kHz in base64
# The system keeps 2 s of that for us, and what a client does not read is soon too much; its own limits are 6 and 4 MB.
RECEIVE_BUFFER, SEND_BUFFER = 1 << 17, 1 << 16
PING_SECONDS = 15.0  # routers close what is silent for 55 s, browsers answer by themselves
GONE_SECONDS = 40.0  # without a byte,
GONE_PINGS = 2  # and pings unanswered: while an engine is at work nobody listens


class Closed(ClientGone):
    """The connection is over; the text says why, for the log."""


class Part(NamedTuple):
    """Of a message, what came with one read; a text's is text."""

    data: str | bytes | bytearray
    finished: bool


class WebSocket:
    """
    One thread reads, writes and closes it. Whatever ends it raises Closed, and the client was told the code by then.

    *received* is what the client sent behind its request already.
    """

    def __init__(self, client: ClientSocket, received: bytes = b"") -> None:
        self._client, self._protocol = client, Connection(SERVER)
        self._received = received
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._poll = select.poll()
        self._poll.register(client, select.POLLIN)
        self._heard_at = now = time.monotonic()
        self._ping_at = now + PING_SECONDS
        self._pings = 0  # sent since anything was heard
        self._message_bytes = 0  # of the message that is coming

    @property
    def waiting_bytes(self) -> int:
        """How much has come and was not read."""
        found = fcntl.ioctl(self._client, termios.FIONREAD, bytes(4))
        return int(struct.unpack("@i", found)[0])

    def receive(self, seconds: float) -> Iterator[Part]:
        """The parts of messages that come within *seconds*, often none; what is behind a part is read after it."""
        now = time.monotonic()
        if now >= self._ping_at:
            if self._pings >= GONE_PINGS and now - self._heard_at > GONE_SECONDS:
                raise Closed("vanished")
            self._ping_at = now + PING_SECONDS
            self._pings += 1
            self._send(Ping())
        received, self._received = self._received, b""
        if not received:
            if not self._poll.poll(1000 * min(seconds, self._ping_at - now)):
                return
            received = self._client.receive_now(PART_BYTES) or b""
            # Also of who only says no more: without a close frame nothing more can come of it.
            if not received:
                raise Closed("vanished")
        self._heard_at, self._pings = time.monotonic(), 0
        self._protocol.receive_data(received)
        for event in self._protocol.events():
            if (part := self._part(event)) is not None:
                yield part

    def _part(self, event: Event) -> Part | None:
        """What *event* brings of a message; a ping is answered."""
        if isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, CloseConnection):  # the client's, or what it did against the protocol
            code, reason = event.code, event.reason or ""
            self.close(code)
            raise Closed("closed" if code in (1000, 1001, 1005) else f"closed with {int(code)}: {reason}")
        elif isinstance(event, TextMessage | BytesMessage):
            self._message_bytes += len(event.data)
            if self._message_bytes > LONGEST_MESSAGE:
                self.close(CloseReason.MESSAGE_TOO_BIG, f"a message has at most {LONGEST_MESSAGE >> 20} MiB")
                raise Closed("sent too long a message")
            if event.message_finished:
                self._message_bytes = 0
            return Part(event.data, event.message_finished)
        return None

    def send(self, text: str) -> None:
        """Send a message; Closed when the client has taken nothing for CLIENT_IDLE_SECONDS."""
        self._send(TextMessage(data=text))

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye; the worker waits for the client's, and drops what it still sends."""
        with contextlib.suppress(Closed):
            self._send(CloseConnection(code=code, reason=reason))

    def _send(self, event: Event) -> None:
        try:
            self._client.sendall(self._protocol.send(event))
        except BlockingIOError:
            raise Closed("too slow to read") from None
        except OSError:
            raise Closed("vanished") from None
