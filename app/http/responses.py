"""What both APIs answer: transcripts, whole or as events while they are made, and audio, whole or in part."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress

from flask import Response, after_this_request, request

from ..errors import ServiceError
from ..speech import subtitles
from ..speech.audio import SynthesisResult
from ..speech.chain import SpeakRequest
from ..speech.transcription import Segment, Transcription, TranscriptionRequest, join_text
from .hooks import AppResponse, client_waits, meter, services
from .params import Fields
from .requests import Upload, client_patience
from .sse import LAST, Background, event_stream

MEDIA_TYPES = {"text": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}


def warm(wanted: Callable[[Fields], TranscriptionRequest]) -> Callable[[Fields], None]:
    """
    What starts the engine for a recording while the rest of it arrives; *wanted* makes a request of the fields before.

    A field that is wrong is refused when all is here.
    """

    def start(fields: Fields) -> None:
        with suppress(ServiceError):
            services().speech.warm(wanted(fields))

    return start


def finish_transcription(wanted: TranscriptionRequest) -> tuple[Transcription, list[Segment]]:
    """The finished transcription and its segments; the response says how long it took."""
    began = time.perf_counter()
    wanted = wanted._replace(patience_seconds=client_patience(services().settings.client_wait_seconds))
    with closing(
        meter().transcription(services().speech.transcribe(wanted, client_waits()))
    ) as transcription:
        segments = list(transcription)
    timing = f"transcribe;dur={(time.perf_counter() - began) * 1000:.0f}"

    @after_this_request
    def tell(response: Response) -> Response:
        response.headers["Server-Timing"] = timing
        response.headers["X-Model"] = ascii(transcription.model)[1:-1]
        return response

    return transcription, segments


def stream_transcript(
    wanted: TranscriptionRequest, upload: Upload, events_of: Callable[[Transcription], Iterator[bytes]]
) -> Response:
    """The events of a transcription while it goes on; from here on the response owns *upload*."""
    speech, charged = services().speech, meter().transcription

    def events(still_wanted: Callable[[], bool]) -> Generator[bytes]:
        with closing(upload), closing(charged(speech.transcribe(wanted, still_wanted))) as transcription:
            yield from events_of(transcription)
            yield LAST

    body = Background(events, client_waits())
    body.raise_early_refusal()
    return event_stream(body)


def render_transcript(segments: Iterable[Segment], format: str, duration: float) -> Response:
    """*segments* of a recording of *duration* seconds in one of MEDIA_TYPES, which is no JSON."""
    if format == "text":
        body = join_text(segments) + "\n"
    else:
        render = subtitles.srt if format == "srt" else subtitles.vtt
        body = "".join(render(segments, duration))
    return AppResponse(body, content_type=f"{MEDIA_TYPES[format]}; charset=utf-8")


def begin_speech(wanted: SpeakRequest) -> SynthesisResult:
    """What the service says to *wanted*, charged to whoever asks."""
    return meter().spoken(services().speech.synthesis.speak(wanted, client_waits()), wanted.text)


def audio_response(spoken: SynthesisResult) -> Response:
    """The response for speech: who spoke, whether it was kept from before, and the bytes as they come."""
    response = AppResponse(spoken.audio, mimetype=spoken.media_type)
    response.call_on_close(spoken.close)
    response.headers["X-TTS-Engine"] = spoken.engine
    response.headers["X-TTS-Voice"] = spoken.voice
    if spoken.fallback:
        reasons = " ".join("; ".join(spoken.fallback).split())  # a header is one line of plain letters
        response.headers["X-TTS-Fallback"] = reasons.encode("ascii", "replace").decode()
    if spoken.skipped:
        response.headers["X-TTS-Skipped"] = spoken.not_spoken
    response.headers["X-Cache"] = "hit" if spoken.cached else "miss"
    # Weak while it is streamed: the header of the kept file will say how long it is.
    response.set_etag(spoken.etag, weak=spoken.size_bytes is None)
    if spoken.duration_seconds is not None:
        response.headers["X-Audio-Duration"] = f"{spoken.duration_seconds:.2f}"
    return response if spoken.size_bytes is None else partial(response, spoken.size_bytes)


def partial(response: Response, size_bytes: int) -> Response:
    """
    *response*, which has an ETag and *size_bytes* bytes, or the part of it that the request asks for.

    Browsers' players ask for `bytes=0-1` before anything else, and Safari's plays nothing without.
    """
    response.content_length = size_bytes
    response.make_conditional(request, accept_ranges=True, complete_length=size_bytes)
    return response
