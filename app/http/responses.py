"""
What both APIs answer: transcripts, whole or as events while they are made, audio, whole or in part, and jobs.

Work that takes longer than a router waits for a byte is answered with server-sent events, or with 202 and a job.
"""

from __future__ import annotations

import contextvars
import hashlib
import json
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from flask import Response, g, jsonify, request, url_for

from ..errors import ClientGone, ModelMissing, ServiceError, envelope
from ..speech.audio import SynthesisResult
from ..speech.chain import SpeakRequest
from ..speech.formats import TRANSCRIPTS
from ..speech.transcription import Segment, Transcription, TranscriptionRequest
from .hooks import AppResponse, caller, client_waits, services
from .params import Fields, Text
from .requests import Upload, client_patience, idempotency_key, jobs_with_room, prefers_async

if TYPE_CHECKING:
    from ..jobs.job import Job
    from ..jobs.service import Jobs

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 10.0  # Heroku cuts a response after 55 s without a byte, some proxies after 15
REFUSAL_SECONDS = 0.25  # how long the first byte waits for a refusal, which is then a status and no event
COMMENT = b": working\n\n"
LAST = b"data: [DONE]\n\n"
WEBHOOK = Text("webhook_url", "https URL that is told when the job ends", longest=2048)

Options = dict[str, Any]


def transcript_response(
    fields: Fields,
    upload: Upload,
    options: Options,
    json_of: Callable[[Transcription, list[Segment]], Mapping[str, object]],
    events_of: Callable[[Transcription], Iterator[bytes]],
) -> Response:
    """
    The answer to the recording in *upload*: a job, where that is preferred, the text in a format, or events.

    *options* are what a TranscriptionRequest is made of, the *format*, and whether to *stream*.
    """
    if prefers_async():
        return enqueue_recording(fields, upload, options)
    format, stream = options.pop("format"), options.pop("stream")
    wanted = TranscriptionRequest(path=upload.path, **options)
    if stream:
        return _stream_transcript(wanted, upload, events_of)
    began = time.perf_counter()
    wanted = wanted._replace(patience_seconds=client_patience(services().settings.client_wait_seconds))
    with closing(services().speech.transcribe(wanted, client_waits())) as done:
        segments = list(services().access.allowance.transcription(caller(), done))
    timing = f"transcribe;dur={(time.perf_counter() - began) * 1000:.0f}"
    response = jsonify(json_of(done, segments)) if format == "json" else render(done, segments, format)
    response.headers["Server-Timing"] = timing
    response.headers["X-Model"] = ascii(done.model)[1:-1]
    return response


def _stream_transcript(
    wanted: TranscriptionRequest, upload: Upload, events_of: Callable[[Transcription], Iterator[bytes]]
) -> Response:
    speech, allowance, who = services().speech, services().access.allowance, caller()
    upload.streamed = True

    def events(still_wanted: Callable[[], bool]) -> Generator[bytes]:
        with closing(upload), closing(speech.transcribe(wanted, still_wanted)) as transcription:
            yield from events_of(allowance.transcription(who, transcription))
            yield LAST

    body = Background(events, client_waits())
    body.raise_early_refusal()
    return event_stream(body)


def render(done: Transcription, segments: Iterable[Segment], format: str) -> Response:
    """*segments* in one of TRANSCRIPTS which is not JSON."""
    row = TRANSCRIPTS[format]
    return AppResponse("".join(row.render(segments, done)), content_type=f"{row.media_type}; charset=utf-8")


def begin_speech(wanted: SpeakRequest) -> SynthesisResult:
    """What the service says to *wanted*, charged to whoever asks."""
    spoken = services().speech.synthesis.speak(wanted, client_waits())
    return services().access.allowance.spoken(caller(), spoken, wanted.text)


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


def event(data: Mapping[str, object]) -> bytes:
    """One event."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def error_event(error: ServiceError) -> bytes:
    """The event that stands for *error* once the status is sent."""
    return event({"type": "error", **envelope(error.status, error.code, error.message, error.param)})


class Background:
    """
    Events that are made in a thread of their own, so that comments can be sent while none is ready.

    Owned by the response; `close()` cancels. *events* is given a function that tells whether anybody still
    waits, and owns what it works with: the thread runs it to its end or closes it.
    """

    keep_alive_seconds = KEEP_ALIVE_SECONDS

    def __init__(
        self, events: Callable[[Callable[[], bool]], Generator[bytes]], wanted: Callable[[], bool]
    ) -> None:
        self._cancelled = threading.Event()
        self._ready: queue.SimpleQueue[bytes | ServiceError | None] = queue.SimpleQueue()
        self._first: bytes | ServiceError | None = COMMENT
        work = events(lambda: not self._cancelled.is_set() and wanted())
        run = contextvars.copy_context().run  # its lines in the log have the request's id
        threading.Thread(target=run, args=(self._run, work), name="event-stream", daemon=True).start()

    def _run(self, work: Generator[bytes]) -> None:
        try:
            with closing(work):
                for ready in work:
                    self._ready.put(ready)
                    if self._cancelled.is_set():
                        break
        except ServiceError as error:
            log.warning("event stream: %s", error.code)
            self._ready.put(error)
        except ClientGone:
            pass
        except Exception:
            log.exception("event stream failed")
            self._ready.put(ServiceError("the service failed; the log has the cause"))
        finally:
            self._ready.put(None)

    def raise_early_refusal(self, seconds: float = REFUSAL_SECONDS) -> None:
        """Raise the error the work ends with within *seconds*, while there still is a status to give it."""
        try:
            self._first = self._ready.get(timeout=seconds)
        except queue.Empty:
            return
        if isinstance(self._first, ServiceError):
            raise self._first

    def __iter__(self) -> Iterator[bytes]:
        yield COMMENT
        ready = self._next() if self._first is COMMENT else self._first
        while ready is not None:
            yield error_event(ready) if isinstance(ready, ServiceError) else ready
            ready = self._next()

    def _next(self) -> bytes | ServiceError | None:
        try:
            return self._ready.get(timeout=self.keep_alive_seconds)
        except queue.Empty:
            return COMMENT

    def close(self) -> None:
        """Stop the work; nobody reads any more."""
        self._cancelled.set()


def event_stream(body: Background | Generator[bytes]) -> Response:
    """The response that sends events as they come, past caches and buffering proxies."""
    response = Response(iter(body), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect them
    response.call_on_close(body.close)
    return response


def enqueue_recording(fields: Fields, upload: Upload, options: Options) -> Response:
    """
    202 and a job for the recording in *upload*; *options* as for `transcript_response`.

    The errors of `Speech.choose` for what no model here could do.
    """
    format = options.pop("format")
    del options["stream"]
    with suppress(ModelMissing):  # it may be there when the job's turn has come
        services().speech.choose(TranscriptionRequest(path="", **options))
    return _enqueue("transcribe", options, fields, upload.size_bytes, format, upload)


def enqueue_text(wanted: SpeakRequest, fields: Fields) -> Response:
    """202 and a job for *wanted*, with what else stands in *fields*; InvalidRequest for what nobody could speak."""
    jobs_with_room()
    services().speech.synthesis.chain.attempts(wanted)
    not_kept = ("stream", "background", "timestamps")
    options = {name: value for name, value in wanted._asdict().items() if name not in not_kept}
    return _enqueue("speak", options, fields, len(wanted.text.encode()), wanted.format)


def _enqueue(
    kind: str, options: Options, fields: Fields, size_bytes: int, format: str, upload: Upload | None = None
) -> Response:
    from ..jobs.job import Job

    webhook = WEBHOOK.read(fields)
    if webhook:
        from ..jobs import webhooks

        webhooks.check_url(webhook, services().settings)
    digest = upload.digest if upload else ""
    decisive = json.dumps([kind, options, format, webhook, size_bytes, digest], sort_keys=True)
    id = secrets.token_hex(16)
    job = Job(
        id,
        kind,
        options,
        owner=g.get("key_id", ""),
        size_bytes=size_bytes,
        idempotency_key=idempotency_key(),
        fingerprint=hashlib.sha256(decisive.encode()).hexdigest(),
        webhook_url=webhook or "",
        extra={"format": format, "caller": caller(), "url": url_for("jobs.show", id=id, _external=True)},
    )
    jobs = services().jobs
    job = jobs.submit(job, upload.file if upload else None)
    response = jsonify(job_dict(job, jobs))
    response.status_code = 202
    response.headers["Location"] = url_for("jobs.show", id=job.id)
    if prefers_async():
        response.headers["Preference-Applied"] = "respond-async"
    return response


def job_dict(job: Job, jobs: Jobs) -> dict[str, Any]:
    """A job as JSON has it, without its text and result."""
    from ..jobs.job import iso

    position, seconds = jobs.eta(job)
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "position": position,
        "estimated_seconds": round(seconds, 1),
        "created_at": iso(job.created_at, "milliseconds"),
        "started_at": iso(job.started_at, "milliseconds"),
        "finished_at": iso(job.finished_at, "milliseconds"),
        "attempts": job.attempt,
        "worker": job.worker or None,
        "progress": {"seconds_done": round(job.seconds_done, 2), "at": iso(job.progress_at, "milliseconds")},
        "error": job.error,
        "webhook": {"state": job.webhook_state, "attempts": job.webhook_attempts}
        if job.webhook_url
        else None,
    }
