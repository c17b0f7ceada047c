"""One message between the web worker and an engine process, as both sides send and read it.

    +----------------+----------------+-----------------------------+-----------------+
    | header length  | payload length | header: one JSON object     | payload         |
    | u32, big end.  | u32, big end.  | UTF-8, at most 1 MiB        | at most 16 MiB  |
    +----------------+----------------+-----------------------------+-----------------+

The web worker asks, the engine answers; each side reads with plain `os.read`, so nothing is buffered
twice and a reader can wait on the descriptor itself.

    ask     {"op": "open", "session": 7, "step": 41, ...}  begin a session and take its first step
            {"op": "next", "session": 7, "step": 42, ...}  take its next step; a live session's carries audio
            {"op": "close", "session": 7, "step": 0}       forget it
    answer  {"step": 41, "kind": ...}                      what the step produced, as it is found
            {"step": 41, "state": "more"|"done"}           the step is over: ends every answer
            {"step": 41, "state": "failed", "code", "message", "param"}

A step is a bounded piece of work (a window of audio, a sentence of text); between two steps of one
session the engine may serve another. An answer carries its question's `step`, so that whoever asks next
can tell the rest of an answer nobody waited for from its own.
"""

import json
import os
import select
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

PREFIX = struct.Struct(">II")
HEADER_LIMIT = 1 << 20
PAYLOAD_LIMIT = 1 << 24
WARM = "warm"  # the task of a session that only loads what others need

Header = dict[str, Any]  # the JSON edge: str, int, float, bool, None, lists and objects of them


class Garbled(Exception):
    """What was read is not a message."""


class Refused(Exception):
    """
    An engine's "no": the request, not the engine, is at fault, or a part it needs is missing.

    *code* is one of the codes of `app.errors`; *param* names the field at fault.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


class Message(NamedTuple):
    """A header and, with audio, its bytes."""

    header: Header
    payload: bytes = b""


def send(
    descriptor: int, header: Header, payload: bytes = b"", before_write: Callable[[], None] | None = None
) -> None:
    """
    Write one message whole; OSError when nobody reads any more.

    With *before_write*, which runs before every write and may raise to give up, no write waits for a reader if the
    pipe has room by then.
    """
    # A file's name need not be UTF-8; what Python makes of it, lone surrogates, passes.
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    if len(encoded) > HEADER_LIMIT or len(payload) > PAYLOAD_LIMIT:
        raise ValueError(f"message too large: {len(encoded)} + {len(payload)} bytes")
    rest = memoryview(PREFIX.pack(len(encoded), len(payload)) + encoded + payload)
    # A pipe with room takes PIPE_BUF at once (pipe(7)).
    most = len(rest) if before_write is None else select.PIPE_BUF
    while rest:
        if before_write is not None:
            before_write()
        rest = rest[os.write(descriptor, rest[:most]) :]


def receive(descriptor: int, before_read: Callable[[], None] = lambda: None) -> Message:
    """
    Read one message; *before_read* runs before every read and may raise to give up.

    EOFError: the other side left between two messages. Garbled: it left inside one, or what came
    is not a message.
    """
    first = _read(descriptor, PREFIX.size, before_read)
    if not first:
        raise EOFError
    if len(first) < PREFIX.size:
        raise Garbled("cut off inside a message")
    header_size, payload_size = PREFIX.unpack(first)
    if header_size > HEADER_LIMIT or payload_size > PAYLOAD_LIMIT:
        raise Garbled("not the start of a message")
    body = _read(descriptor, header_size + payload_size, before_read)
    if len(body) < header_size + payload_size:
        raise Garbled("cut off inside a message")
    try:
        header = json.loads(body[:header_size])
    except ValueError:
        raise Garbled("the header is not JSON") from None
    if not isinstance(header, dict):
        raise Garbled("the header is not an object")
    return Message(header, body[header_size:])


def _read(descriptor: int, size: int, before_read: Callable[[], None]) -> bytes:
    """Read *size* bytes, or fewer where the input ends."""
    parts = []
    while size:
        before_read()
        part = os.read(descriptor, min(size, 1 << 16))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
