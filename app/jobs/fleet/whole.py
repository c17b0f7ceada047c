"""A long recording as parts that workers do side by side, and the parts as one again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...config import Settings
from ...voice.speech import Speech
from ..job import FAILED, RUNNING, Files, Job
from .store import RedisStore

log = logging.getLogger(__name__)


def cut(
    job: Job, files: Files, speech: Speech, wanted: Callable[[], bool], *, settings: Settings
) -> list[tuple[float, float]] | None:
    """Where to cut *job*'s recording, as stretches in seconds; None when it is done in one go."""
    return None


def join(id: str, store: RedisStore, files: Files, *, now: float) -> None:
    """
    End the job *id* if all its parts have ended, with what they found, or with the first error of one.

    Any worker may try, and several at the same time: the store takes one end.
    """
    job = store.get(id)
    if job is None or job.state != RUNNING or not job.extra.get("parts"):
        return
    parts = store.parts(job)
    failed = next((part for part in parts if part.state == FAILED), None)
    if failed is not None:
        store.finish(job, FAILED, now, failed.error)
