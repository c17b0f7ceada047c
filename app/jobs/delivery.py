"""
`python -m app.jobs.delivery`: posts webhooks, and is gone.

A process of its own, as http.client and ssl would cost the web worker 6 MB that never come back. In: a JSON object
with `requests` and `lifetime_seconds`. Out: a line of JSON for each request, as it ends: its `number`, `state`
and `reason`. When its lifetime is over the process ends, whoever has not answered by then: a receiver may send a
byte a second.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .addresses import Destination, destination, is_public

if TYPE_CHECKING:
    import ssl

ANSWER_SECONDS = 5.0  # for a connection, its handshake and the answer's first line, each
MOST_ADDRESSES = 3  # of one name that are tried

DELIVERED, FAILED, REFUSED = "delivered", "failed", "refused"  # failed: worth another try; refused: not


def lookup(host: str, port: int) -> list[str]:
    """The addresses of *host*, as the system resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def post(
    url: str,
    headers: dict[str, str],
    body: bytes,
    *,
    private: bool,
    tls: ssl.SSLContext,
    resolve: Callable[[str, int], list[str]] = lookup,
) -> tuple[str, str]:
    """
    Post *body*; the state that leaves, and why.

    Only public addresses are talked to unless *private*: every address the name has is looked at, and the one that
    was looked at is connected to, so that a name that changes its mind in between gains nothing.
    Redirects are not followed, and of the answer only the head is read.
    """
    import http.client

    try:
        where = destination(url, private=private)
        addresses = resolve(where.host, where.port)
    except ValueError as problem:
        return REFUSED, str(problem)
    except OSError as error:
        return FAILED, f"{_host(url)} has no address: {error}"
    if not private and not all(is_public(address) for address in addresses):
        return REFUSED, f"{where.host} has an address that is not public"
    try:
        connection = http.client.HTTPConnection(where.host, where.port)
        connection.sock = connect(where, addresses[:MOST_ADDRESSES], tls)
        try:
            connection.request("POST", where.target, body, {"Host": where.authority, **headers})
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return FAILED, f"{where.host} did not answer: {type(error).__name__}: {error}"
    if 200 <= status < 300:
        return DELIVERED, f"{where.host} answered {status}"
    if status == 410:  # by the specification: take me off the list
        return REFUSED, f"{where.host} answered 410"
    return FAILED, f"{where.host} answered {status}" + (", a redirect" if 300 <= status < 400 else "")


def connect(where: Destination, addresses: list[str], tls: ssl.SSLContext) -> socket.socket:
    """A connection to the first of *addresses* that takes one; the certificate has to be that of the name."""
    problem = OSError("no address")
    for address in addresses:
        try:
            sock = socket.create_connection((address, where.port), timeout=ANSWER_SECONDS)
        except OSError as error:
            problem = error
            continue
        if not where.secure:
            return sock
        try:
            return tls.wrap_socket(sock, server_hostname=where.host.rstrip("."))
        except BaseException:
            sock.close()
            raise
    raise problem


def _host(url: str) -> str:
    return destination(url, private=True).host


def main(requests: list[dict[str, Any]], answer: Callable[[dict[str, Any]], None]) -> None:
    """Post them all at once, and *answer* each as it ends."""
    import ssl

    tls = ssl.create_default_context()  # one for all: the system's authorities are 0.8 MB each time

    def post_one(number: int, request: dict[str, Any]) -> None:
        state, reason = post(
            request["url"],
            request["headers"],
            request["body"].encode(),
            private=request["private"],
            tls=tls,
        )
        answer({"number": number, "state": state, "reason": reason})

    threads = [threading.Thread(target=post_one, args=each) for each in enumerate(requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    question = json.load(sys.stdin)
    signal.alarm(question["lifetime_seconds"])
    # One write a line: threads share the output.
    main(question["requests"], lambda verdict: print(json.dumps(verdict) + "\n", end="", flush=True))
