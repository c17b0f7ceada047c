"""Runs one job: the same in the thread of a web worker and in a worker on another machine."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import (
    AudioLimited,
    ClientGone,
    EngineTimeout,
    InsufficientMemory,
    InsufficientStorage,
    Misconfigured,
    QueueFull,
    ServiceError,
)
from ..memory import Throttle
from ..speech.chain import SpeakRequest
from ..speech.transcription import Transcription, TranscriptionRequest
from .files import segment_line
from .job import FAILED, SUCCEEDED, TRANSCRIBE, Files, Job, Store

if TYPE_CHECKING:
    from ..access.limits import Allowance
    from ..speech.audio import SynthesisResult
    from ..speech.service import Speech

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0  # how often progress is saved, and a cancelled job noticed
ROOM_SECONDS = 5.0  # until a job that found no room is tried again
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 2.0, 300.0  # after a failure, doubled with each


def backoff(failures: int) -> float:
    """The seconds from the n-th failure to the next try: 2, 4, 8 ..."""
    wait: float = min(FIRST_RETRY_SECONDS * 2 ** (failures - 1), LONGEST_RETRY_SECONDS)
    return wait


def run(
    job: Job,
    store: Store,
    files: Files,
    speech: Speech,
    *,
    attempts: int,
    allowance: Allowance | None = None,
    time_limit_seconds: float = math.inf,
    retry_seconds: Callable[[int], float] = backoff,
    is_running: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.time,
) -> None:
    """
    Run *job*, which was claimed: afterwards it has ended, or is queued again for another try.

    After its n-th failure it waits *retry_seconds* of n.
    *is_running* is called now and then; once it says that this process is about to end, the job is put back.
    """
    due = Throttle(PROGRESS_SECONDS, clock)
    deadline = clock() + time_limit_seconds
    still_ours = True
    seconds_seen = job.seconds_done

    def keep(segments: list[bytes], resume: dict[str, Any]) -> None:
        nonlocal still_ours
        if still_ours and (segments or due()):
            job.resume, job.progress_at = {**resume, "attempt": job.attempt}, clock()
            still_ours = store.progress(job, segments)

    def should_continue() -> bool:
        nonlocal still_ours, seconds_seen
        if job.seconds_done != seconds_seen:
            job.progress_at, seconds_seen = clock(), job.seconds_done
        if still_ours and due():
            still_ours = store.progress(job)
        return still_ours and is_running() and clock() < deadline

    try:
        recording = files.recording(job.id) if job.kind == TRANSCRIBE else nullcontext("")
        with recording as path, files.new_result(job.id) as output:
            if job.resume and not speech.resumes(job.resume["model"]):
                job.resume, job.text, job.seconds_done = {}, "", 0.0
                still_ours = store.progress(job)
            for line in store.segments(job.id) if job.resume else ():
                output.write(line)
            perform(
                job, path, output, speech, should_continue=should_continue, keep=keep, allowance=allowance
            )
            job.result_bytes = output.tell()
            if not (still_ours := store.progress(job)):
                raise ClientGone  # so that this result does not replace that of the worker that has the job now
    except ClientGone:
        if not still_ours:
            log.info("job=%s stopped: it was cancelled", job.id)
        elif clock() < deadline:
            store.put_back(job, clock())
        else:
            limit = f"it took more than {time_limit_seconds / 60:g} minutes (JOB_TIME_LIMIT_MINUTES)"
            _end(job, store, FAILED, clock(), EngineTimeout(limit))
    except ServiceError as error:
        _failed(job, store, error, attempts=attempts, now=clock(), retry_seconds=retry_seconds)
    except FileNotFoundError:
        _end(job, store, FAILED, clock(), ServiceError("the recording is gone; send it again"))
    except OSError as error:
        full = InsufficientStorage(f"the result could not be written: {error.strerror}")
        _failed(job, store, full, attempts=attempts, now=clock(), retry_seconds=retry_seconds)
    except Exception:
        log.exception("job=%s attempt=%d failed", job.id, job.attempt)
        reason = ServiceError("the service failed; the log has the cause under this job's id")
        _failed(job, store, reason, attempts=attempts, now=clock(), retry_seconds=retry_seconds)
    else:
        if _end(job, store, SUCCEEDED, clock()):
            files.drop_recording(job.id)


def perform(
    job: Job,
    path: str,
    output: BinaryIO,
    speech: Speech,
    *,
    should_continue: Callable[[], bool],
    keep: Callable[[list[bytes], dict[str, Any]], None],
    allowance: Allowance | None = None,
) -> None:
    """
    Do the work: write its result to *output*, and keep the seconds_done, text and result of *job* up to date.

    A transcription goes on where `Job.resume` says; *keep* is called after each half minute with the lines of its
    segments, and where it could go on now.
    *should_continue* is called at every segment and while the work waits; ClientGone when it returns False.
    *allowance* is charged as the work goes on; AudioLimited when it is used up.
    """
    if allowance is not None:
        allowance.check(job.extra["caller"])
    meter = allowance.meter(job.extra["caller"]) if allowance is not None else None
    if job.kind == TRANSCRIBE:
        request = TranscriptionRequest(path=path, background=True, resume=job.resume or None, **job.params)
        transcription = speech.transcribe(request, should_continue)
        with closing(meter.transcription(transcription) if meter else transcription) as transcription:
            _transcribe(job, transcription, output, should_continue, keep)
    else:
        wanted = SpeakRequest(**job.params, stream=False, background=True)
        spoken = speech.synthesis.speak(wanted, should_continue)
        with closing(meter.spoken(spoken, wanted.text) if meter else spoken) as spoken:
            _speak(job, spoken, output)


def _transcribe(
    job: Job,
    transcription: Transcription,
    output: BinaryIO,
    should_continue: Callable[[], bool],
    keep: Callable[[list[bytes], dict[str, Any]], None],
) -> None:
    unkept: list[bytes] = []
    charge = transcription.on_progress

    def window_ended(seconds_done: float, ended: bool) -> None:
        if transcription.resume is not None and not ended:
            job.seconds_done = seconds_done
            keep(unkept, {**transcription.resume, "model": transcription.model, "characters": len(job.text)})
            unkept.clear()
        charge(seconds_done, ended)

    transcription.on_progress = window_ended
    for segment in transcription:
        line = segment_line(segment)
        output.write(line)
        unkept.append(line)
        job.text, job.seconds_done = (job.text + segment.text).lstrip(), transcription.seconds_done
        if not should_continue():
            raise ClientGone
    job.text, job.seconds_done = job.text.rstrip(), transcription.seconds_done
    job.result = {
        "language": transcription.language,
        "duration": round(transcription.duration_seconds, 2),
        "model": transcription.model,
    }


def _speak(job: Job, spoken: SynthesisResult, output: BinaryIO) -> None:
    for chunk in spoken.audio:
        output.write(chunk)
    job.seconds_done = spoken.duration_seconds or 0.0
    job.result = {
        "engine": spoken.engine,
        "voice": spoken.voice,
        "duration": round(job.seconds_done, 2),
        "media_type": spoken.media_type,
        **({"skipped": spoken.not_spoken} if spoken.skipped else {}),
    }


def _failed(
    job: Job,
    store: Store,
    error: ServiceError,
    *,
    attempts: int,
    now: float,
    retry_seconds: Callable[[int], float],
) -> None:
    """Put the job back where another try may succeed; end it where none can, or too many have failed."""
    if isinstance(error, QueueFull | InsufficientMemory):  # not a failure of the job
        store.put_back(job, now + ROOM_SECONDS)
        return
    # Work that had begun, and of which nothing is kept, would be charged again and reach the limit again.
    if isinstance(error, AudioLimited) and (job.resume or not job.seconds_done):
        store.put_back(job, now + (error.retry_after_seconds or 1))
        return
    hopeless = isinstance(error, Misconfigured) or error.status < 500
    if job.count_failure() >= attempts or hopeless:
        _end(job, store, FAILED, now, error)
        return
    if store.put_back(job, now + retry_seconds(job.failures)):
        log.warning("job=%s failed: %s; it is tried again", job.id, error.code)


def lost(job: Job, store: Store, now: float, attempts: int, message: str, code: str) -> bool:
    """
    The worker of *job* is gone: it is queued again, or has failed if it lost *attempts* workers; whether it has failed.

    *message*, with how many workers that were, and *code* are then its error.
    """
    if job.count_failure() < attempts:
        store.put_back(job, now)
        return False
    said = {"message": message.format(job.failures), "code": code, "param": None}
    return store.finish(job, FAILED, now, said)


def _end(job: Job, store: Store, state: str, now: float, error: ServiceError | None = None) -> bool:
    said = None if error is None else {"message": error.message, "code": error.code, "param": error.param}
    ended = store.finish(job, state, now, said)
    if ended:
        log.info("job=%s %s attempt=%d%s", job.id, state, job.attempt, f" {error.code}" if error else "")
    return ended
