"""Divides a long recording into parts for several workers, and joins their results to one transcript."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ...errors import ClientGone, ServiceError
from ...speech.cutting import cut
from ...speech.service import Speech
from ...speech.transcription import Segment, TranscriptionRequest
from ..files import read_segments, segment_line
from ..job import FAILED, RUNNING, SUCCEEDED, TRANSCRIBE, Files, Job, is_part, part_ids, whole_id
from .store import RedisStore

log = logging.getLogger(__name__)

LEAST_BYTES_A_SECOND = 500  # of a recording; AMR at its lowest rate, 4.75 kbit/s, has 594


def split(
    job: Job,
    store: RedisStore,
    files: Files,
    speech: Speech,
    *,
    part_seconds: float,
    should_continue: Callable[[], bool],
) -> list[Job]:
    """
    Divide *job* into parts, which are queued, and return them; none when it is to be run as a whole.

    To find the pauses the recording is decoded once more, which is a fiftieth of the work. It is not done for
    recordings that are too small to be long.
    """
    too_small = job.size_bytes < part_seconds * LEAST_BYTES_A_SECOND
    if job.kind != TRANSCRIBE or is_part(job.id) or not part_seconds or too_small:
        return []
    try:
        with files.recording(job.id) as path:
            survey = speech.survey(
                TranscriptionRequest(path=path, background=True, **job.params), should_continue
            )
    except (ServiceError, ClientGone, OSError):
        return []  # run as a whole the job meets the same error, and the runner reports it
    if survey is None or survey.duration_seconds <= part_seconds:
        return []
    clips = cut(survey.pauses, survey.duration_seconds, part_seconds)
    if len(clips) == 1:
        return []
    # Each part alone might take its few words for another language.
    params = {**job.params, "language": survey.language or job.params.get("language")}
    found = store.split(job, [{**params, "clip": clip} for clip in clips])
    log.info("job=%s is done in %d parts", job.id, len(found))
    return found


def join(id: str, store: RedisStore, files: Files, now: float) -> None:
    """
    End the job *id* with the joined results of its parts, when all of them have succeeded.

    Several workers may call it at the same time: the store accepts one of them.
    """
    job = store.get(id)
    if job is None or job.state != RUNNING or not job.extra.get("parts"):
        return
    parts = store.parts(job)
    if len(parts) != job.extra["parts"] or any(part.state != SUCCEEDED for part in parts):
        return
    try:
        with files.new_result(job.id) as output:
            for segment in join_segments(_segments(part, files) for part in parts):
                output.write(segment_line(segment))
            job.result_bytes = output.tell()
    except FileNotFoundError:
        log.info("job=%s was joined by another worker", job.id)
        return
    job.result, job.seconds_done = {**parts[-1].result}, parts[-1].result["duration"]
    if _end(job, store, files, SUCCEEDED, now, parts[-1]):
        files.drop_recording(job.id)


def fail(part: Job, store: RedisStore, files: Files, now: float) -> Job | None:
    """End the job that *part* belongs to with the error of the part; the job, None when it had ended."""
    job = store.get(whole_id(part.id))
    ended = job is not None and part.id in part_ids(job) and _end(job, store, files, FAILED, now, part)
    return job if ended else None


def _segments(part: Job, files: Files) -> Iterator[Segment]:
    with files.result(part.id) as lines:
        yield from read_segments(lines)


def _end(job: Job, store: RedisStore, files: Files, state: str, now: float, part: Job) -> bool:
    ids = part_ids(job)
    ended = store.finish(replace(job, failures=part.failures), state, now, part.error)
    if ended:
        log.info("job=%s %s in %d parts", job.id, state, len(ids))
        for id in ids:
            files.remove(id)
    return ended


def join_segments(parts: Iterable[Iterable[Segment]]) -> Iterator[Segment]:
    """The segments of all *parts*, in order, as those of one recording."""
    for number, segment in enumerate(itertools.chain.from_iterable(parts), 1):
        yield replace(segment, id=number)
