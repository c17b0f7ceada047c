"""A client that sends whatever it is given, and takes note of what it is told."""

import contextlib
import socket
from dataclasses import dataclass

from .request import Attack

LONGEST_SECONDS = 300.0


@dataclass
class Told:
    """What an attack was told: the status of each answer, the body of the last; none where the door was shut."""

    attack: Attack
    statuses: list[int]
    body: bytes
    heads: bytes


def send(attack: Attack, port: int) -> Told:
    """Send it, hear the answers to the end."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), LONGEST_SECONDS)) as connection:
        with contextlib.suppress(OSError):  # the door was shut while this was still talking
            connection.sendall(attack.sent)
            if attack.family == "framing":  # who says no more has not sent all it announced
                connection.shutdown(socket.SHUT_WR)
        heard = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(1 << 16):
                heard += part
    return read(attack, bytes(heard))


def read(attack: Attack, heard: bytes) -> Told:
    """*heard* as answers; what is no HTTP is an answer with status 0."""
    told = Told(attack, [], b"", b"")
    while heard:
        head, _, heard = heard.partition(b"\r\n\r\n")
        told.heads += head + b"\r\n\r\n"
        version, _, rest = head.partition(b" ")
        told.statuses.append(int(rest[:3]) if version.startswith(b"HTTP/1.") else 0)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        if told.statuses[-1] < 200:
            continue
        if b"content-length" in fields:
            length = int(fields[b"content-length"])
            told.body, heard = heard[:length], heard[length:]
        else:
            told.body, heard = heard, b""
    return told
