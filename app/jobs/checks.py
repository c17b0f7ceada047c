"""Whether jobs can be accepted, kept and done; looked at in the background of requests (BackgroundChecks)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..checks import Check
from ..errors import ServiceError
from ..files import free_bytes
from . import files

if TYPE_CHECKING:
    from ..config import Settings
    from .job import Counts
    from .service import Jobs

ALMOST = 0.95  # of JOB_DISK_MB


def checks(settings: Settings, built: Jobs | None, build: Callable[[], Jobs]) -> Iterator[Check]:
    """
    What jobs need. *built* are the jobs so far; where they run in the service, and there is no database yet, they
    are not built for this.

    `job storage` and `job workers` exist only where CELERY_BROKER_URL is set.
    """
    if settings.celery_broker_url:
        yield from _fleet(settings, build)
    else:
        yield _local(settings, Path(settings.data_dir) / "jobs", built, build)


def _local(settings: Settings, directory: Path, built: Jobs | None, build: Callable[[], Jobs]) -> Check:
    if problem := files.local_problem(directory, "DATA_DIR"):
        return Check("jobs", problem)
    if broken := next(directory.parent.glob("*.broken-*"), None):
        return Check("jobs", f"the database was damaged and made again; look at {broken}, then remove it")
    if built is None and not (directory / "jobs.sqlite3").exists():
        return Check("jobs", detail="none yet")
    import sqlite3  # here: 1.5 MB that a service without jobs does not weigh

    try:
        counts = (built or build()).counts()
    except ServiceError as error:
        return Check("jobs", error.message)
    except sqlite3.Error as error:
        return Check("jobs", f"the database in {directory} can't be read: {error}; start the service again")
    return Check("jobs", _full(settings, counts), f"{free_bytes(directory) >> 20} MB free")


def _full(settings: Settings, counts: Counts) -> str:
    """That JOB_DISK_MB is nearly used up; empty where it is not."""
    stored_mb = counts.stored_bytes / (1 << 20)
    if stored_mb < ALMOST * settings.job_disk_mb:
        return ""
    return (
        f"jobs take {stored_mb:.1f} of {settings.job_disk_mb} MB (JOB_DISK_MB), so new ones are refused; remove jobs "
        "that have ended, lower JOB_TTL_HOURS, or raise JOB_DISK_MB"
    )


def _fleet(settings: Settings, build: Callable[[], Jobs]) -> Iterator[Check]:
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
        yield Check("jobs", _full(settings, counts), f"{counts.queued} queued, {counts.running} running")
        missing = "no worker was seen in the last 10 s: jobs wait; start one (make worker)"
        yield Check("job workers", "" if counts.workers else missing, f"{counts.workers} seen")
    yield Check("job storage", jobs.files.problem())
