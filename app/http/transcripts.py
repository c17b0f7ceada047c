"""Transcripts on their way out: whole, as subtitles, or as events while they are made; for both APIs."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing

from flask import Response

from ..errors import InvalidRequest
from ..speech import subtitles, whisper_languages
from ..speech.serializers import whole_text
from ..speech.transcription import Segment, Transcription, TranscriptionRequest
from .auth import meter
from .hooks import client_waits, services
from .sse import LAST, Background, event_stream
from .uploads import Upload

MEDIA_TYPES = {"text": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}


def answered(
    request: TranscriptionRequest, answer: Callable[[Transcription, list[Segment]], Response]
) -> Response:
    """What *answer* makes of the finished transcription, and how long it took."""
    began = time.perf_counter()
    with closing(
        meter().transcription(services().speech.transcribe(request, client_waits()))
    ) as transcription:
        segments = list(transcription)
    seconds = time.perf_counter() - began
    response = answer(transcription, segments)
    response.headers["Server-Timing"] = f"transcribe;dur={seconds * 1000:.0f}"
    return response


def streamed(
    request: TranscriptionRequest, upload: Upload, tell: Callable[[Transcription], Iterator[bytes]]
) -> Response:
    """The events *tell* makes of a transcription while it goes on; from here on it owns *upload*."""
    speech, charged = services().speech, meter().transcription

    def events(wanted: Callable[[], bool]) -> Generator[bytes]:
        with closing(upload), closing(charged(speech.transcribe(request, wanted))) as transcription:
            yield from tell(transcription)
            yield LAST

    body = Background(events, client_waits())
    body.raise_early_refusal()
    return event_stream(body)


def written(segments: Iterable[Segment], format: str) -> Response:
    """*segments* in one of MEDIA_TYPES, which is no JSON."""
    if format == "text":
        body = whole_text(segments) + "\n"
    else:
        body = "".join(subtitles.srt(segments) if format == "srt" else subtitles.vtt(segments))
    return Response(body, content_type=f"{MEDIA_TYPES[format]}; charset=utf-8")


def language_code(asked: str | None) -> str | None:
    """Whisper's code for the language a request names, None to hear it; InvalidRequest for none it knows."""
    try:
        return whisper_languages.code(asked) if asked and asked.lower() != "auto" else None
    except ValueError as problem:
        raise InvalidRequest(f"language: {problem}", "language") from None
