"""Transcription by another, OpenAI-compatible server, for dynos that have no memory for a model."""

import http.client
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from ..config import Settings
from ..engine.protocol import Message
from ..engine.queueing import Wanted
from ..errors import InvalidRequest, UpstreamFailed
from .transcription import Transcription, TranscriptionRequest, Word

CHUNK_BYTES = 1 << 16
MAX_RESPONSE_BYTES = 16 << 20

# The server looks at the file name's suffix; this chooses it by the first bytes.
SUFFIXES = (
    (b"RIFF", "wav"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"\x1aE\xdf\xa3", "webm"),
    (b"ID3", "mp3"),
)


class UpstreamTranscriber:
    """
    Sends recordings to the other server, unchanged; the text comes back when that has all of it.

    It follows no redirect: recordings go to the server that was set, and nowhere else.
    """

    def __init__(self, settings: Settings) -> None:
        self.model, self._key = settings.openai_model, settings.openai_api_key
        self.url = urlsplit(settings.openai_base_url.rstrip("/"))
        self._timeout = settings.openai_timeout_seconds

    def transcribe(self, request: TranscriptionRequest, wanted: Wanted) -> Transcription:
        """Begin; the request is sent when the first segment is asked for."""
        return Transcription(self.model, self._messages(request))

    def _messages(self, request: TranscriptionRequest) -> Iterator[Message]:
        connect = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        deadline = time.monotonic() + self._timeout
        route = "translations" if request.task == "translate" else "transcriptions"
        try:
            connection = connect(self.url.hostname or "", self.url.port, timeout=self._timeout)
            with closing(connection):
                body, headers = self._form(request)
                connection.request("POST", f"{self.url.path}/audio/{route}", body, headers)
                response = connection.getresponse()
                answer = json.loads(_read(response, deadline))
            found = [*_read_transcript(answer, request)] if response.status == 200 else []
        except (
            OSError,
            http.client.HTTPException,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ) as error:
            raise UpstreamFailed(
                f"the server at OPENAI_BASE_URL did not answer as expected ({type(error).__name__}); "
                "check the address, or set DISABLE_LOCAL_WHISPER=false to transcribe here"
            ) from None
        yield from found
        if found:
            return
        reason = answer.get("error") if isinstance(answer, dict) else None
        reason = reason.get("message") if isinstance(reason, dict) else reason
        if response.status in (400, 413, 415, 422):
            raise InvalidRequest(f"the server at OPENAI_BASE_URL refused the recording: {reason}")
        raise UpstreamFailed(f"the server at OPENAI_BASE_URL answered {response.status}: {reason}")

    def _form(self, request: TranscriptionRequest) -> tuple[Iterator[bytes], dict[str, str]]:
        """The multipart body, which is read from disk while it is sent, and its headers."""
        boundary = secrets.token_hex(16)
        fields: list[tuple[str, object]] = [
            ("model", self.model),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "segment"),
            ("timestamp_granularities[]", "word" if request.word_timestamps else None),
            ("language", request.language),
            ("prompt", request.prompt),
            ("temperature", request.temperature),
        ]
        part = f"--{boundary}\r\nContent-Disposition: form-data; name="
        form = "".join(f'{part}"{name}"\r\n\r\n{value}\r\n' for name, value in fields if value is not None)
        form += f'{part}"file"; filename="audio.{_suffix(request.path)}"\r\n'
        form += "Content-Type: application/octet-stream\r\n\r\n"
        before, after = form.encode(), f"\r\n--{boundary}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield before
            with open(request.path, "rb") as recording:
                while chunk := recording.read(CHUNK_BYTES):
                    yield chunk
            yield after

        return body(), {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(before) + os.path.getsize(request.path) + len(after)),
            "Authorization": f"Bearer {self._key}",
        }


def _read_transcript(answer: dict[str, Any], request: TranscriptionRequest) -> Iterator[Message]:
    """As an engine here would tell it; an error of types or values where *answer* is something else."""
    duration = float(answer.get("duration") or 0)
    whole = {"text": str(answer.get("text") or ""), "start": 0.0, "end": duration}
    yield Message({"kind": "start", "language": answer.get("language") or request.language or "en"})
    words = [
        Word(each["word"], float(each["start"]), float(each["end"]), each.get("probability", 1.0))
        for each in answer.get("words") or ()
    ]
    for number, segment in enumerate(answer.get("segments") or [whole]):
        start, end = float(segment["start"]), float(segment["end"])
        own = [word._asdict() for word in words if start <= word.start < end]
        said = {"kind": "segment", "id": number, "start": start, "end": end, "words": own}
        yield Message({**SEGMENT_DEFAULTS, **segment, "text": str(segment["text"]), **said})
    yield Message({"kind": "end", "duration": duration})


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The body; TimeoutError past *deadline*. The connection's own timeout is for each piece alone."""
    body = bytearray()
    while piece := response.read1(CHUNK_BYTES):
        body += piece
        if len(body) > MAX_RESPONSE_BYTES:
            raise ValueError("too large")
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


SEGMENT_DEFAULTS: dict[str, Any] = {  # for what a server may leave out
    "seek": 0, "tokens": [], "temperature": 0.0, "avg_logprob": 0.0, "compression_ratio": 1.0,
    "no_speech_prob": 0.0,
}  # fmt: skip


def _suffix(path: str) -> str:
    with open(path, "rb") as recording:
        first = recording.read(12)
    if first[4:8] == b"ftyp":
        return "m4a"
    return next((suffix for magic, suffix in SUFFIXES if first.startswith(magic)), "mp3")
