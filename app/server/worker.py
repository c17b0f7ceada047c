"""
gunicorn's threaded worker, with no thread spent on a client that is slow to ask, and few on one that is slow to send.

As it is in 27.0.1, a thread waits for each request's head without a limit, 24 clients that send a byte now and
then take all 24 threads, and a connection that its client leaves open stops the main loop for 2 s when it is closed.
Here heads are collected in the main loop, and connections are closed there without waiting. Bodies and answers are
still moved by threads, but some are kept for requests without a body, and whoever is slow makes way when others wait.
"""

import contextlib
import re
import selectors
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.errors import InvalidHeader, ParseException, UnsupportedTransferCoding
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from ..config import threads_for_bodies
from ..logs import write_deferred
from .client_socket import ClientSocket, watched

HEAD_END = b"\r\n\r\n"
HEAD_BYTES = 16 << 10  # of a request's line and headers; Node.js has the same limit
# Connections whose head is awaited, 4 MB at the worst; past it the one that waited longest goes.
MOST_ASKING = 256
# What a client still sends after its answer is read and dropped.
LEAVING_SECONDS, LEAVING_BYTES = 2.0, 32 << 20
DRAINING_SECONDS = 0.1  # the same, before its connection may carry another request
# Who is slower makes way while others wait. A phone's poor connection has 20,000 bytes a second.
SLOW_BYTES_PER_SECOND = 8_000
# How long a thread that computes keeps others waiting: usually, and where more than half of the threads are busy.
# Python's 5 ms are waited for at every turn among them: with fifty hostile clients, /health took 113-196 ms at the
# 99th percentile, so 53-89. To wake waiting threads that often takes 15 of a request's 245 µs.
SWITCH_SECONDS, CROWDED_SWITCH_SECONDS = 0.005, 0.0005
LOOK_UP_SECONDS = 0.05  # while requests wait for a thread
DROPPED_BYTES = 1 << 16  # at a time
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket", re.IGNORECASE)
NOT_ASCII = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
LONGEST_BODY = 1 << 40  # lengths past it are no lengths, and too much for what counts them
wsgi.SERVER = "pam-voice"  # what answers say they come from


class Framed:
    """A body that is not framed as HTTP says is a client gone wrong to whoever reads it, an OSError, not a bug."""

    def __init__(self, reader: Any) -> None:  # Any: one of gunicorn's three
        self._reader = reader

    def read(self, size: int) -> bytes:
        """As gunicorn's reader does."""
        try:
            found: bytes = self._reader.read(size)
            return found
        except ParseException as error:
            raise OSError(str(error)) from None


class Threads:
    """
    Threads that work on what is submitted, begun as they are needed, at most *most* of them.

    Instead of concurrent.futures, whose futures, callbacks and locks took 15 us of a request's 190. Only the main
    loop submits, and never more than there are threads for.
    """

    def __init__(self, most: int, work: Callable[[TConn], None]) -> None:
        self._most, self._work = most, work
        self._waiting: SimpleQueue[TConn | None] = SimpleQueue()
        self._begun = 0

    def submit(self, conn: TConn, at_work: int) -> None:
        """Have a thread work on *conn*; with it, *at_work* are being worked on."""
        if self._begun < min(at_work, self._most):
            self._begun += 1
            threading.Thread(target=self._serve, name=f"web-{self._begun}", daemon=True).start()
        self._waiting.put(conn)

    def _serve(self) -> None:
        while (conn := self._waiting.get()) is not None:
            self._work(conn)

    def shutdown(self, wait: bool = False) -> None:
        """Let threads end that have nothing to do; the process waits for none of them."""
        for _ in range(self._begun):
            self._waiting.put(None)


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn brings no types
    """
    Serves a connection in four states: asking (its head is awaited), held (its request waits for a thread),
    busy (a thread serves it), leaving (answered; what it still sends is dropped).

    But for `work` and what it calls, everything runs in the main loop, so nothing is locked.
    """

    client_idle_seconds = 20.0  # gunicorn.conf.py sets it

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: gunicorn's business
        super().__init__(*args, **kwargs)
        self.asking: dict[TConn, None] = {}  # in the order they began to wait
        self.leaving: dict[TConn, None] = {}
        self.held: deque[TConn] = deque()
        self.busy: set[TConn] = set()
        self.switch_seconds = SWITCH_SECONDS
        self.most = self.cfg.threads
        self.most_with_body = threads_for_bodies(self.most)

    def get_thread_pool(self) -> Threads:
        """The threads that serve requests."""
        return Threads(self.most, self.work)

    def enqueue_req(self, conn: TConn) -> None:
        """Take the head of the next request on *conn*, or wait for the rest of it."""
        if not isinstance(conn.sock, ClientSocket):
            conn.sock = watched(conn.sock, self.client_idle_seconds)
            conn.init()
        conn.head = bytearray(conn.parser.unreader.take_buffered())  # what came with the request before
        # It came with the connection more often than not.
        if self.look_at_head(conn) or self.take_head(conn):
            return
        conn.timeout = time.monotonic() + self.client_idle_seconds
        if len(self.asking) >= MOST_ASKING:
            self.refuse(next(iter(self.asking)), TOO_SLOW)
        self.asking[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda client: self.take_head(conn))

    def take_head(self, conn: TConn) -> bool:
        """Read what is there of a head; whether there is nothing more to wait for."""
        received = conn.sock.receive_now(HEAD_BYTES)
        if received is None:
            return False
        if not received:
            self.drop(conn)
            return True
        conn.head += received
        return self.look_at_head(conn)

    def look_at_head(self, conn: TConn) -> bool:
        """Go on when the head is whole, refuse it when it is too long or no request; whether one of them."""
        end = conn.head.find(HEAD_END)
        if end > HEAD_BYTES or (end < 0 and len(conn.head) >= HEAD_BYTES):
            self.refuse(conn, TOO_LARGE)
        elif end < 0:
            return False
        elif not conn.head[: conn.head.find(b"\r\n")].isascii():
            self.refuse(conn, NOT_ASCII)  # RFC 9112 has addresses in ASCII; Werkzeug fails at others
        else:
            self.hold(conn)
        return True

    def hold(self, conn: TConn) -> None:
        """The request on *conn* waits for a thread, most often not at all."""
        self.forget(conn)
        conn.parser.unreader.unread(conn.head)
        # A WebSocket keeps its thread, so it gets none of those either.
        plain = conn.head.startswith((b"GET ", b"HEAD ", b"OPTIONS ")) and not UPGRADE.search(conn.head)
        conn.with_body = not plain
        conn.head = b""
        self.held.append(conn)
        self.give_threads()

    def give_threads(self) -> None:
        """Give the requests that wait to threads, as long as there are any to spare."""
        if not self.held:
            return
        for conn in list(self.held):
            if len(self.busy) < (self.most_with_body if conn.with_body else self.most):
                self.held.remove(conn)
                self.busy.add(conn)
                self.tpool.submit(conn, len(self.busy))
        if self.held:
            self.make_way(len(self.held))

    def make_way(self, most: int) -> None:
        """Cut off the slowest clients that threads wait for, at the most as many as requests wait."""
        now = time.monotonic()
        speeds = {conn: conn.sock.speed(now) for conn in self.busy}
        for conn in sorted(speeds, key=speeds.__getitem__)[:most]:
            if speeds[conn] < SLOW_BYTES_PER_SECOND:
                conn.sock.cut_off()
                self.log.warning("a slow client was cut off")

    def work(self, conn: TConn) -> None:
        """Serve a request on *conn*, in a thread, and tell the main loop."""
        again = False
        try:
            again = self.handle(conn)
        except Exception:
            self.log.exception("a request failed in the server")
        self.method_queue.defer(self.finish_request, conn, again)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Answer; a client that neither sends nor takes anything is left."""
        conn.sock.begin()
        length = getattr(req.body.reader, "length", -1)  # -1: in chunks
        if length > LONGEST_BODY:
            raise InvalidHeader("CONTENT-LENGTH", req=req)
        if length:
            req.body.reader = Framed(req.body.reader)
        try:
            again = super().handle_request(req, conn)
            conn.sock.end()
            return again and not conn.sock.upgraded
        except BlockingIOError:
            self.log.info("a client was left: nothing moved for %g s", self.client_idle_seconds)
            return False

    def _keepalive_after(self, conn: TConn, keepalive: Any) -> bool:
        """Whether the connection can be used again: not when its client has not sent all of what it announced."""
        if keepalive and getattr(conn.parser.mesg.body.reader, "length", -1) == 0:
            return True  # there was no body
        deadline = time.monotonic() + DRAINING_SECONDS
        return bool(keepalive) and bool(conn.parser.finish_body(deadline=deadline))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """What can't be read as HTTP is the client's mistake, also where gunicorn says 501."""
        with contextlib.suppress(OSError):
            client.end()  # what follows is not kept back
        if isinstance(exc, UnsupportedTransferCoding):
            self.log.warning("Invalid request from ip=%s: %s", (addr or ("", -1))[0], exc)
            with contextlib.suppress(OSError):
                util.write_error(client, 400, "Bad Request", str(exc))
            return
        super().handle_error(req, client, addr, exc)

    def finish_request(self, conn: TConn, again: bool) -> None:
        """A thread is done with *conn*: it is used again, or left without waiting for its client."""
        self.busy.discard(conn)
        if not again:
            self.leave(conn)
        elif conn.parser.unreader.buf.getbuffer():  # the next request came with this one
            self.enqueue_req(conn)
        else:
            conn.set_timeout()
            if not self.alive:
                conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
            self.keepalived_conns.append(conn)
            ready = partial(self.on_client_socket_readable, conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, ready)
        self.give_threads()

    def leave(self, conn: TConn) -> None:
        """
        Say that nothing more comes, and for a moment read and drop what still does.

        Who closes a connection with unread bytes in it resets it, and a client that is still sending then never
        sees its answer.
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_leaving, conn))
        except (OSError, ValueError, KeyError):
            self.nr_conns -= 1
            conn.close()
            return
        conn.timeout = time.monotonic() + LEAVING_SECONDS
        conn.dropped_bytes = 0
        self.leaving[conn] = None

    def on_leaving(self, conn: TConn, client: socket.socket) -> None:
        """Drop what comes; the client's end is the end."""
        received = conn.sock.receive_now(DROPPED_BYTES)
        if received is None:
            return
        conn.dropped_bytes += len(received)
        if not received or conn.dropped_bytes >= LEAVING_BYTES:
            self.drop(conn)

    def refuse(self, conn: TConn, answer: bytes) -> None:
        """Answer without a thread, if the client takes it at once, and leave."""
        self.forget(conn)
        with contextlib.suppress(OSError):
            conn.sock.send(answer, socket.MSG_DONTWAIT)
        self.leave(conn)

    def drop(self, conn: TConn) -> None:
        """Close a connection that asked nothing, or has left."""
        self.forget(conn)
        self.nr_conns -= 1
        conn.close()

    def forget(self, conn: TConn) -> None:
        """Wait for nothing on *conn*, if its head or its end was awaited."""
        for waiting in (self.asking, self.leaving):
            if conn in waiting:
                del waiting[conn]
                self.poller.unregister(conn.sock)

    def murder_pending(self) -> None:
        """Called in every turn of the main loop: end what has lasted too long."""
        now = time.monotonic()
        # A worker that stops waits for heads no longer than for those who leave.
        late = now if self.alive else now + self.client_idle_seconds - LEAVING_SECONDS
        while (conn := next(iter(self.asking), None)) and conn.timeout <= late:
            if conn.head:
                self.refuse(conn, TOO_SLOW)
            else:
                self.drop(conn)
        while (conn := next(iter(self.leaving), None)) and conn.timeout <= now:
            self.drop(conn)
        self.give_threads()
        if not self.alive:
            # A worker that stops finishes its work, and waits for no slow client.
            self.make_way(len(self.busy))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One turn of the main loop; a short one while requests wait for a thread. It ends with the log."""
        super().wait_for_and_dispatch_events(min(timeout, LOOK_UP_SECONDS) if self.held else timeout)
        write_deferred(more=len(self.busy) > 1)
        self.share_interpreter()

    def share_interpreter(self) -> None:
        """Have threads that compute make way sooner while many are busy."""
        interval = CROWDED_SWITCH_SECONDS if len(self.busy) > self.most // 2 else SWITCH_SECONDS
        if interval != self.switch_seconds:
            sys.setswitchinterval(interval)
            self.switch_seconds = interval
