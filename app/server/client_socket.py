"""A client's socket that can be watched while a thread is busy with it."""

import contextlib
import socket
import struct
import time
from typing import Any

PATIENCE_SECONDS = 1.0  # how long a thread must have waited for its client before that client counts as slow
PIECE_BYTES = 1 << 16


class ClientSocket(socket.socket):
    """
    A client's socket that knows what was moved since `begin`, and how long threads have waited for the client.

    It always blocks; the main loop, which must not wait, takes and sends with MSG_DONTWAIT.
    """

    moved_bytes = 0
    waited_seconds = 0.0
    waiting_since: float | None = None
    upgraded = False  # it is a WebSocket now: a time of its own for each, and no other request after it
    _head: bytes | None = None  # of an answer, kept until its first part is there
    _at_head = False

    def setblocking(self, flag: bool) -> None:
        """Do nothing: gunicorn changes it twice for each request, which are two system calls."""

    def begin(self) -> None:
        """A thread begins to serve a request of it."""
        self.moved_bytes, self.waited_seconds, self._at_head = 0, 0.0, True

    def end(self) -> None:
        """The answer is complete: send its head, if it has nothing else."""
        self._at_head = False
        if self._head:
            self.sendall(b"")

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As a socket does; an OSError when the client sent nothing for CLIENT_IDLE_SECONDS."""
        self.waiting_since = began = time.monotonic()
        try:
            received = super().recv(size, flags)
        finally:
            self._waited(began)
        self.moved_bytes += len(received)
        return received

    def receive_now(self, size: int) -> bytes | None:
        """What is there, None while nothing is; empty at the end, also where the connection broke."""
        try:
            return super().recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def sendall(self, data: Any, flags: int = 0) -> None:  # Any: what socket.sendall takes
        """
        As a socket does, but counted; an OSError when the client took nothing for CLIENT_IDLE_SECONDS.

        gunicorn sends an answer's head by itself; it waits here for what comes next, so that both are one packet.
        """
        if self._at_head:
            self._head, self._at_head = bytes(data), False
            return
        if self._head:
            data, self._head = self._head + bytes(data), None
        rest = memoryview(data)
        while rest:
            self.waiting_since = began = time.monotonic()
            try:
                sent = super().send(rest[:PIECE_BYTES], flags)
            finally:
                self._waited(began)
            self.moved_bytes += sent
            rest = rest[sent:]

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:  # Any: as above
        """As a socket does, after the head."""
        self.end()
        return super().sendfile(file, offset, count)

    def _waited(self, began: float) -> None:
        self.waiting_since = None
        self.waited_seconds += time.monotonic() - began

    def cut_off(self) -> None:
        """End the connection; a thread that waits for it wakes up and finds it closed."""
        self.waiting_since = None  # once is enough
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def speed(self, now: float) -> float:
        """Bytes a second of waiting; without limit while no thread waits, or none has for PATIENCE_SECONDS."""
        since = None if self.upgraded else self.waiting_since
        waited = 0.0 if since is None else self.waited_seconds + now - since
        return float("inf") if waited < PATIENCE_SECONDS else self.moved_bytes / waited


def watched(plain: socket.socket, idle_seconds: float) -> ClientSocket:
    """*plain* as a ClientSocket, which gives up when nothing could be read or written for *idle_seconds*."""
    plain.setblocking(True)
    found = ClientSocket(plain.family, plain.type, plain.proto, plain.detach())
    limit = struct.pack("@ll", int(idle_seconds), int(idle_seconds % 1 * 1e6))
    # Of each read and write, by the kernel: Python's own time limit is that of a whole `sendall`.
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        found.setsockopt(socket.SOL_SOCKET, option, limit)
    return found
