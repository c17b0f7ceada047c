"""Whether jobs can be accepted, kept and done; looked at in the background of requests (BackgroundChecks)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..checks import Check
from ..errors import ServiceError
from ..files import directory_problem, free_bytes
from . import files

if TYPE_CHECKING:
    from ..config import Settings
    from .service import Jobs


def checks(settings: Settings, built: Jobs | None, build: Callable[[], Jobs]) -> Iterator[Check]:
    """
    What jobs need. Where they run in the service they are not built for it: *built* is what there is so far.

    `job storage` and `job workers` exist only where CELERY_BROKER_URL is set.
    """
    if settings.celery_broker_url:
        yield from _fleet(build)
    else:
        yield _local(settings, built)


def _local(settings: Settings, built: Jobs | None) -> Check:
    directory = settings.data_dir
    if problem := directory_problem(directory, made=True):
        return Check("jobs", f"{problem}; set DATA_DIR to a directory that can be written to")
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return Check("jobs", detail="none yet")
    free = free_bytes(directory)
    if free < files.KEPT_FREE_BYTES:
        return Check("jobs", f"{directory} is full: {free >> 20} MB free; remove jobs, or set DATA_DIR")
    if broken := [name for name in names if ".broken-" in name]:
        return Check(
            "jobs",
            f"the database was damaged and made again; look at {broken[0]} in {directory}, then remove it",
        )
    if built is not None:
        import sqlite3  # here: 1.5 MB that a service without jobs does not weigh

        try:
            built.counts()
        except sqlite3.Error as error:
            return Check(
                "jobs", f"the database in {directory} can't be read: {error}; start the service again"
            )
    return Check("jobs", detail=f"{free >> 20} MB free")


def _fleet(build: Callable[[], Jobs]) -> Iterator[Check]:
    try:
        jobs = build()
    except ServiceError as error:
        yield Check("jobs", error.message)
        return
    try:
        jobs.queue.check()
        counts = jobs.counts()
    except ServiceError as error:
        yield Check("jobs", f"{error.message}; see REDIS_URL and CELERY_BROKER_URL")
    else:
        yield Check("jobs", detail=f"{counts.queued} queued, {counts.running} running")
        missing = "no worker was seen in the last 10 s: jobs wait; start one (make worker)"
        yield Check("job workers", "" if counts.workers else missing, f"{counts.workers} seen")
    yield Check("job storage", jobs.files.problem())
