"""
What `app/server/worker.py` and `gunicorn.conf.py` use of gunicorn's insides, by name, and the faults they are for.

When one of the first tests fails after an upgrade, read gunicorn's gthread again before deploying it. When the last
ones do, gunicorn has cured the fault: our worker may go.
"""

import contextlib
import inspect
import socket
import subprocess
import sys
from collections.abc import Iterator

import gunicorn
import pytest
from gunicorn import util
from gunicorn.http import body, parser, unreader, wsgi
from gunicorn.http.errors import InvalidHeader, ParseException, UnsupportedTransferCoding
from gunicorn.workers import gthread

from app.config import PROJECT
from app.server import worker as ours

from .processes import free_port, until

THREADS = 2
NOT_ANSWERED_SECONDS = 3  # a request that waits this long for a thread gets none
HALF_A_HEAD = b"GET /health HTTP/1.1\r\nHo"
REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def said(name: str) -> str:
    return (
        f"gunicorn {gunicorn.__version__}: {name} is not what app/server/worker.py was written for (27.0.1)"
    )


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (gthread.ThreadWorker, "get_thread_pool", "self"),
        (gthread.ThreadWorker, "enqueue_req", "self conn"),
        (gthread.ThreadWorker, "on_client_socket_readable", "self conn client"),
        (gthread.ThreadWorker, "handle", "self conn"),
        (gthread.ThreadWorker, "handle_request", "self req conn"),
        (gthread.ThreadWorker, "handle_error", "self req client addr exc"),
        (gthread.ThreadWorker, "_keepalive_after", "self conn keepalive"),
        (gthread.ThreadWorker, "finish_request", "self conn fs"),
        (gthread.ThreadWorker, "murder_pending", "self"),
        (gthread.ThreadWorker, "murder_keepalived", "self force"),
        (gthread.ThreadWorker, "wait_for_and_dispatch_events", "self timeout"),
        (gthread.PollableMethodQueue, "defer", "self callback args"),
        (gthread.TConn, "init", "self"),
        (gthread.TConn, "set_timeout", "self"),
        (gthread.TConn, "close", "self graceful"),
        (parser.Parser, "finish_body", "self deadline max_bytes"),
        (unreader.Unreader, "take_buffered", "self"),
        (unreader.Unreader, "unread", "self data"),
        (body.LengthReader, "read", "self size"),
        (util, "write_error", "sock status_int reason mesg"),
    ],
)
def test_each_function_that_is_called_or_replaced_is_there(owner, name, parameters):
    found = getattr(owner, name, None)
    assert found is not None, said(f"{owner.__name__}.{name}")
    assert " ".join(inspect.signature(found).parameters) == parameters, said(f"{owner.__name__}.{name}")


@pytest.mark.parametrize(
    ("owner", "name", "used"),
    [
        (gthread.ThreadWorker, "__init__", "self.keepalived_conns | self.nr_conns | self.method_queue | self.poller"),
        (gthread.ThreadWorker, "init_process", "self.get_thread_pool()"),
        (gthread.ThreadWorker, "accept", "self.nr_conns | self.enqueue_req(conn)"),
        (gthread.ThreadWorker, "on_client_socket_readable", "self.enqueue_req(conn)"),
        (gthread.ThreadWorker, "run", "self.alive | self.wait_for_and_dispatch_events( | self.murder_pending() | "
                                      "self.tpool.shutdown(wait=False) | STOP_KEEPALIVE_LINGER"),
        (gthread.ThreadWorker, "handle", "self.handle_request(req, conn) | self._keepalive_after( | conn.initialized"),
        (gthread.ThreadWorker, "handle_request", "self.cfg.post_request(self, req, environ, resp) | self.wsgi("),
        (gthread.TConn, "init", "self.initialized | self.parser | self.sock.setblocking(True)"),
        (gthread.TConn, "set_timeout", "self.timeout"),
        (parser.Parser, "__init__", "self.unreader"),
        (parser.Parser, "__next__", "self.mesg"),
        (unreader.Unreader, "__init__", "self.buf | io.BytesIO()"),
        (body.LengthReader, "__init__", "self.length"),
        (body.Body, "__init__", "self.reader"),
        (wsgi.Response, "__init__", "self.version | SERVER"),
        (wsgi.Response, "send_headers", "util.write(self.sock"),
        (wsgi.Response, "sendfile", "self.sock.sendfile("),
        (wsgi, "default_environ", '"gunicorn.socket": sock'),
    ],
)  # fmt: skip
def test_each_of_them_still_does_what_ours_relies_on(owner, name, used):
    source = inspect.getsource(getattr(owner, name))
    for part in used.split(" | "):
        assert part in source, said(f"{owner.__name__}.{name} without {part!r}")


def test_what_the_worker_replaces_is_a_method_of_gunicorns():
    """A method that was renamed there would be ours alone, and never called."""
    own = {
        "look_at_head", "take_head", "hold", "give_threads", "make_way", "work", "leave", "on_leaving", "refuse",
        "drop", "forget", "share_interpreter", "client_idle_seconds",
    }  # fmt: skip
    for name in set(vars(ours.Worker)) - own:
        if not name.startswith("__"):
            assert hasattr(gthread.ThreadWorker, name), said(f"ThreadWorker.{name}")


def test_its_errors_are_those_that_are_caught():
    assert issubclass(InvalidHeader, ParseException), said("InvalidHeader")
    assert issubclass(UnsupportedTransferCoding, ParseException), said("UnsupportedTransferCoding")


@pytest.fixture(scope="module")
def stock() -> Iterator[int]:
    """The port of a bare Flask under gunicorn's own threaded worker."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", "bare:app"]
    command += ["--worker-class", "gthread", "--threads", str(THREADS)]
    folder = f"{PROJECT}/benchmarks"  # where no gunicorn.conf.py of ours is found
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: answered(port, 5), "a bare Flask answers")
            yield port
        finally:
            process.terminate()
            process.wait()


def answered(port: int, seconds: float) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(REQUEST)
        return connection.recv(12).startswith(b"HTTP/1.1 200")
    return False


@pytest.mark.long
def test_gunicorns_own_worker_still_gives_its_threads_to_heads_that_do_not_come(stock):
    with contextlib.ExitStack() as slow:
        for _ in range(THREADS):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", stock)))
            connection.sendall(HALF_A_HEAD)
        until(lambda: not answered(stock, NOT_ANSWERED_SECONDS), "half a head for each thread stops it")
    until(lambda: answered(stock, NOT_ANSWERED_SECONDS), "it answers when they are gone")
