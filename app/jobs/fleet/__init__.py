"""
Jobs for as many machines as wanted: where CELERY_BROKER_URL is set, and nowhere else imported.

The store (Redis) has the truth about every job, the broker's messages are hints that there is something to do. A
message too many is dropped, because `begin` gives a job to one worker only; one too few is sent again by
the sweep. So a broker may deliver twice, lose what it had, or be another one tomorrow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from ...config import Settings
    from ..job import Files
    from .queue import CeleryQueue
    from .store import RedisStore


def build(
    settings: Settings, goes_on_trying: Callable[[], bool] = lambda: False
) -> tuple[RedisStore, Files, CeleryQueue]:
    """What web and workers share; nothing is connected yet. *goes_on_trying*: see RedisStore."""
    from .queue import CeleryQueue
    from .store import RedisStore
    from .transactions import connect

    store = RedisStore(connect(settings.fleet_redis_url), goes_on_trying)
    limit_seconds = settings.job_time_limit_minutes * 60
    queue = CeleryQueue(settings.celery_broker_url, store, time_limit_seconds=limit_seconds)
    return store, _files(settings), queue


def _files(settings: Settings) -> Files:
    url = settings.job_storage_url
    if url.startswith("file://") or not url:
        from .directory import SharedDirectory

        return SharedDirectory(Path(url.removeprefix("file://") or settings.data_dir) / "jobs")
    from .storage import SharedStorage

    return SharedStorage(url, settings.upload_dir or None)


def try_storage() -> None:
    """Write a byte where JOB_STORAGE_URL says, and read it back; ends this process with the reason if it can't."""
    from ...config import Settings

    files, id = _files(Settings.from_env()), uuid4().hex
    try:
        with files.new_result(id) as file:
            file.write(b"1")
        with files.result(id) as file:
            if file.read() != b"1":
                sys.exit("what is read is not what was written")
        files.remove(id)
    except Exception as problem:  # whatever a storage's library raises
        sys.exit(f"{type(problem).__name__}: {problem}")
