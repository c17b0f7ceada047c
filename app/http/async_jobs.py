"""Requests that are answered with a job: those of the jobs' own route, and any with `Prefer: respond-async`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from typing import IO, TYPE_CHECKING, Any

from flask import Response, g, jsonify, request, url_for

from ..errors import InvalidRequest, ModelMissing
from ..speech.chain import SpeakRequest
from ..speech.transcription import TranscriptionRequest
from .hooks import caller, services
from .params import Fields, Text
from .requests import Upload, prefers_async

if TYPE_CHECKING:
    from ..jobs.job import Job
    from ..jobs.service import Jobs

WEBHOOK = Text("webhook_url", "https URL that is told when the job ends", longest=2048)
LONGEST_KEY = 255

Options = dict[str, Any]


def enqueue_recording(fields: Fields, upload: Upload, options: Options, format: str) -> Response:
    """
    202 and a job for the recording in *upload*; *options* are what a TranscriptionRequest is made of.

    The errors of `Speech.choose` for what no model here could do.
    """
    with contextlib.suppress(ModelMissing):  # it may be there when the job's turn has come
        services().speech.choose(TranscriptionRequest(path="", **options))
    size, digest = upload.size_bytes, upload.digest
    job = _job("transcribe", options, fields, size_bytes=size, digest=digest, format=format)
    return _accepted(job, upload.file)


def enqueue_text(wanted: SpeakRequest, fields: Fields) -> Response:
    """202 and a job for *wanted*, with what else stands in *fields*; InvalidRequest for what nobody could speak."""
    jobs_with_room()
    services().speech.synthesis.chain.attempts(wanted)
    not_kept = ("stream", "background", "timestamps")
    options = {name: value for name, value in wanted._asdict().items() if name not in not_kept}
    size = len(wanted.text.encode())
    return _accepted(_job("speak", options, fields, size_bytes=size, digest="", format=wanted.format), None)


def jobs_with_room() -> Jobs:
    """The jobs, where one more fits; one that is known by its key needs no room."""
    jobs = services().jobs
    if jobs.store.find(g.get("key_id", ""), _key()) is None:
        jobs.check_room(request.content_length or 0)
    return jobs


def _key() -> str:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > LONGEST_KEY:
        raise InvalidRequest(f"Idempotency-Key: at most {LONGEST_KEY} characters", "Idempotency-Key")
    return key


def _job(kind: str, options: Options, fields: Fields, *, size_bytes: int, digest: str, format: str) -> Job:
    from ..jobs.job import Job

    webhook = WEBHOOK.read(fields)
    if webhook:
        from ..jobs import webhooks

        webhooks.check_url(webhook, services().settings)
    decisive = json.dumps([kind, options, format, webhook, size_bytes, digest], sort_keys=True)
    id = secrets.token_hex(16)
    return Job(
        id,
        kind,
        options,
        owner=g.get("key_id", ""),
        size_bytes=size_bytes,
        idempotency_key=_key(),
        fingerprint=hashlib.sha256(decisive.encode()).hexdigest(),
        webhook_url=webhook or "",
        extra={"format": format, "caller": caller(), "url": url_for("jobs.show", id=id, _external=True)},
    )


def _accepted(job: Job, recording: IO[bytes] | None) -> Response:
    jobs = services().jobs
    job = jobs.submit(job, recording)
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
