"""The disk: where uploads wait, jobs are kept, speech is cached, and gunicorn's heartbeat beats."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...config import Settings
from .finding import Finding, error, warning, well

HEARTBEAT = "/dev/shm"  # noqa: S108 (gunicorn.conf.py's worker_tmp_dir)
TRIED_BYTES = 1 << 16


def directories(settings: Settings) -> Iterator[Finding]:
    """Each directory, tried by writing to it: permissions alone say nothing of read-only or full disks."""
    uploads = settings.upload_dir or tempfile.gettempdir()
    yield _tried("uploads", uploads, "UPLOAD_DIR", settings.max_upload_mb, made=False)
    jobs = _tried("jobs", settings.data_dir, "DATA_DIR", 0, made=True)
    free_mb = _free_mb(_existing(Path(settings.data_dir)))
    if jobs.status == "ok" and free_mb < settings.job_disk_mb:
        jobs = warning(
            "jobs",
            f"{settings.data_dir}: {free_mb:.0f} MB free, jobs may take {settings.job_disk_mb} (JOB_DISK_MB)",
            "free some space, lower JOB_DISK_MB, or set DATA_DIR to another disk",
        )
    yield jobs
    if settings.tts_cache_mb:
        yield _tried(
            "speech cache", settings.tts_cache_dir, "TTS_CACHE_DIR", settings.tts_cache_mb, made=True
        )
    yield _tried("heartbeat", HEARTBEAT, "", 0, made=False)


def _tried(name: str, directory: str, setting: str, least_mb: float, *, made: bool) -> Finding:
    """Whether files can be made in *directory*; with *made* the service makes the directory itself."""
    path = Path(directory)
    target = _existing(path) if made else path
    remedy = f"set {setting} to a directory this user may write to" if setting else f"mount {directory}"
    if not target.is_dir():
        what = "is not a directory" if target.exists() else "does not exist"
        return error(name, f"{target} {what}", remedy)
    try:
        with tempfile.TemporaryFile(dir=target) as file:
            file.write(bytes(TRIED_BYTES))
            file.flush()
    except OSError as problem:
        return error(name, f"{target} can't be written to: {problem.strerror}", remedy)
    free_mb = _free_mb(target)
    if free_mb < least_mb:
        return error(
            name,
            f"{target}: {free_mb:.0f} MB free, {least_mb:.0f} are needed",
            f"free some space, or {remedy}",
        )
    return well(name, f"{directory}: {free_mb:.0f} MB free")


def _existing(path: Path) -> Path:
    """*path*, or the first of its parents that is there."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())


def _free_mb(path: Path) -> float:
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize / 2**20
