"""Jobs: what takes longer than a router waits. Accepted at once, options about later."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, jsonify, request, url_for
from werkzeug.wsgi import FileWrapper

from ..errors import InvalidRequest, JobNotFound, QueueFull, UnsupportedFormat
from ..jobs import STATES
from ..speech.chain import SpeakRequest
from ..speech.formats import TRANSCRIPTS
from ..speech.transcription import Transcription, segment_dict
from . import params, responses
from .hooks import AppResponse, client_waits, services
from .params import SPEAK, TRANSCRIBE, Choice, Number, Text
from .requests import ACCEPTED, receive

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..jobs.job import Job
    from ..services import Services

jobs = Blueprint("jobs", __name__, url_prefix="/api/v1/pam/voice/jobs")

LOOK_SECONDS = 0.5  # between two looks at a job whose events are read
CHUNK_BYTES = 1 << 16

RECORDING = (*(one for one in TRANSCRIBE if one.name != "stream"), responses.WEBHOOK)
TEXT = (*SPEAK, responses.WEBHOOK)
PAGE = (
    Choice("state", "only jobs in this state", of=STATES),
    Number("limit", "how many at the most", 20, least=1, most=100, whole=True),
    Text("before", "a job's id: those made before it"),
)
RESULT = (Choice("format", "of a transcript", of=tuple(TRANSCRIPTS), refusal=UnsupportedFormat),)


@jobs.post(
    "", summary="A recording to transcribe or a text to speak, as a job", form=RECORDING, json=TEXT, raw=True
)
def submit() -> Response:
    with receive(job=True) as (fields, upload):
        if upload is not None:
            return responses.enqueue_recording(fields, upload, params.read(TRANSCRIBE, fields))
    if "text" not in fields and request.mimetype == "multipart/form-data":
        raise InvalidRequest(f"the form has no recording and no text; {ACCEPTED}, or a text as text", "file")
    return responses.enqueue_text(SpeakRequest(**params.read(SPEAK, fields)), fields)


@jobs.get("", summary="Jobs, newest first; next is the `before` of the following page", query=PAGE)
def page() -> Response:
    options = params.read(PAGE, request.args)
    limit = options["limit"]
    state, before = options["state"] or "", options["before"] or ""
    found = services().jobs.page(g.get("key_id", ""), state=state, before=before, limit=limit + 1)
    following = found[limit - 1].id if len(found) > limit else None
    return jsonify(jobs=[responses.job_dict(job, services().jobs) for job in found[:limit]], next=following)


@jobs.get("/<id>", summary="A job's state, progress and result")
def show(id: str) -> Response:
    job, result = _job(id), None
    if job.state == "succeeded":
        made = {**job.result, "bytes": job.result_bytes} if job.kind == "speak" else _transcript(job)
        result = {**made, "url": url_for("jobs.result", id=id)}
    return jsonify(**responses.job_dict(job, services().jobs), text=job.text, result=result)


def _transcript(job: Job) -> dict[str, Any]:
    from ..jobs.files import read_segments

    with services().jobs.result(job) as file:
        segments = [segment_dict(one) for one in read_segments(file)]
    return {"text": job.text, **job.result, "segments": segments}


@jobs.get("/<id>/result", summary="The transcript in a format, or the audio", query=RESULT)
def result(id: str) -> Response:
    job = _job(id)
    format = params.read(RESULT, request.args)["format"] or job.extra.get("format", "json")
    if job.kind == "speak":
        return _audio(job)
    if format == "json":
        return jsonify(_transcript(job))
    from ..jobs.files import read_segments

    made = job.result
    done = Transcription(made["model"], language=made["language"], duration_seconds=made["duration"])
    with services().jobs.result(job) as file:
        response = responses.render(done, read_segments(file), format)
    response.set_etag(f"{job.id}-{format}")
    return responses.partial(response, response.content_length or 0)


def _audio(job: Job) -> Response:
    file = services().jobs.result(job)
    response = AppResponse(FileWrapper(file, CHUNK_BYTES), mimetype=job.result["media_type"])
    response.call_on_close(file.close)
    response.headers["X-TTS-Engine"] = job.result["engine"]
    response.headers["X-TTS-Voice"] = job.result["voice"]
    if skipped := job.result.get("skipped"):
        response.headers["X-TTS-Skipped"] = skipped
    response.headers["X-Audio-Duration"] = f"{job.result['duration']:.2f}"
    response.set_etag(job.id)
    return responses.partial(response, job.result_bytes)


@jobs.get("/<id>/events", summary="A job's progress and text as events, until it ends")
def events(id: str) -> Response:
    job = _job(id)
    watchers = services().jobs.watchers
    if not watchers.acquire(blocking=False):
        raise QueueFull("too many clients watch jobs; ask GET /api/v1/pam/voice/jobs/ID now and then")
    response = responses.event_stream(_progress(job, services(), client_waits()))
    response.call_on_close(watchers.release)
    return response


def _progress(job: Job, own: Services, wanted: Callable[[], bool]) -> Generator[bytes]:
    """Looks at *job* until it has ended; whichever worker or machine it runs on."""
    last, said, attempt = None, "", job.attempt
    spoke_at = time.monotonic()
    while True:
        if job.attempt != attempt:  # begun anew: what was said before does not count
            said, attempt = "", job.attempt
        told = {"type": "progress", **responses.job_dict(job, own.jobs)}
        if (known := {**told, "estimated_seconds": None}) != last:
            yield responses.event(told)
            last, spoke_at = known, time.monotonic()
        if len(job.text) > len(said):
            yield responses.event({"type": "text", "delta": job.text[len(said) :]})
            said = job.text
        if job.finished_at is not None:
            yield responses.event({"type": "done", "state": job.state, "error": job.error})
            yield responses.LAST
            return
        if time.monotonic() - spoke_at > responses.KEEP_ALIVE_SECONDS:
            yield responses.COMMENT
            spoke_at = time.monotonic()
        time.sleep(LOOK_SECONDS)
        if not wanted() or not own.is_running():
            return
        try:
            job = own.jobs.get(job.id, job.owner)
        except JobNotFound as gone:
            error = {"message": gone.message, "code": gone.code}
            yield responses.event({"type": "done", "state": "removed", "error": error})
            return


@jobs.delete("/<id>", summary="Cancel a job that is queued or running; remove one that has ended")
def cancel(id: str) -> tuple[Response | str, int]:
    job = _job(id)
    if services().jobs.cancel(job):
        return jsonify(responses.job_dict(_job(id), services().jobs)), 200
    services().jobs.remove(job)
    return "", 204


@jobs.post("/<id>/requeue", summary="Do a job again that failed or was cancelled")
def requeue(id: str) -> tuple[Response, int]:
    services().jobs.requeue(_job(id))
    return jsonify(responses.job_dict(_job(id), services().jobs)), 202


def _job(id: str) -> Job:
    return services().jobs.get(id, g.get("key_id", ""))
