"""One hostile request: the bytes a client sends, whatever they are."""

from dataclasses import dataclass

TRANSCRIBE = "/api/v1/pam/voice/transcribe"
SPEAK = "/api/v1/pam/voice/speak"
BOUNDARY = b"----boundary"


@dataclass(frozen=True)
class Attack:
    """What is sent on one connection; *family* says what it tries, *name* is its own."""

    family: str
    name: str
    sent: bytes


def request(method: str, path: str, body: bytes = b"", *headers: str | bytes, length: bool = True) -> bytes:
    """A request in HTTP/1.1; the headers go out as they are given."""
    lines = [
        f"{method} {path} HTTP/1.1".encode(errors="surrogateescape"),
        b"Host: speech.example",
        b"Connection: close",
    ]
    lines += [header if isinstance(header, bytes) else header.encode() for header in headers]
    if length and (body or method == "POST"):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def upload(content: bytes, name: bytes = b"recording", *, field: bytes = b"audio") -> bytes:
    """A form with one file."""
    disposition = b'Content-Disposition: form-data; name="' + field + b'"; filename="' + name + b'"'
    return form(disposition + b"\r\n\r\n" + content)


def form(*parts: bytes, boundary: bytes = BOUNDARY, closed: bool = True) -> bytes:
    """A form of *parts*, each with its own headers."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    body += b"--" + boundary + b"--\r\n" if closed else b""
    return request("POST", TRANSCRIBE, body, b"Content-Type: multipart/form-data; boundary=" + boundary)


def raw(content: bytes, media_type: str = "audio/wav") -> bytes:
    """A recording as the body itself."""
    return request("POST", TRANSCRIBE, content, f"Content-Type: {media_type}")


def speak(body: bytes) -> bytes:
    """A body for /speak, JSON or not."""
    return request("POST", SPEAK, body, "Content-Type: application/json")
