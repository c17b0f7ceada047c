"""`python -m app ...` as a user runs it: a process of its own; and servers that are not this service."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

from app.config import PROJECT

from ..processes import free_port

LIMIT_SECONDS = 120


def run(
    *words: str,
    given: bytes = b"",
    prefix: tuple[str, ...] = (),
    python: str = sys.executable,
    **environment: str,
) -> subprocess.CompletedProcess[bytes]:
    """The command, ended; texts never leave the machine, and speech is made anew."""
    offline = {"GTTS_URL": f"http://127.0.0.1:{free_port()}/", "TTS_CACHE_MB": "0"}
    return subprocess.run(
        [*prefix, python, "-m", "app", *words],
        cwd=PROJECT,
        env={**os.environ, **offline, **environment},
        input=given,
        capture_output=True,
        timeout=LIMIT_SECONDS,
    )


# What other programs say on a port.
ANOTHER = {
    "SSH": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "a page": b"HTTP/1.0 200 OK\r\n\r\n<!DOCTYPE html>",
    "a list": b"HTTP/1.0 200 OK\r\n\r\n[]",
    "another object": b'HTTP/1.0 200 OK\r\n\r\n{"service": 3}',
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "nothing": b"",
}


@contextlib.contextmanager
def answering(said: bytes) -> Iterator[int]:
    """The port of a program on this machine that says the same to everybody."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = other.accept()
                with client:
                    if said:
                        client.recv(1 << 16)
                        client.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=serve)
        thread.start()
        yield other.getsockname()[1]
        other.shutdown(socket.SHUT_RDWR)
        thread.join()
