"""Builds what keeps and runs the jobs: here in the service, or for workers where CELERY_BROKER_URL is set."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InsufficientStorage
from . import files
from .service import Jobs

if TYPE_CHECKING:
    from celery import Celery

    from ..access.limits import Allowance
    from ..config import Settings
    from ..speech.service import Speech
    from .files import LocalFiles
    from .fleet.queue import CeleryQueue
    from .fleet.store import RedisStore
    from .job import Files, Queue, Store
    from .local_worker import JobWorker
    from .store_sqlite import SqliteStore


def build(
    settings: Settings, speech: Speech, allowance: Allowance | None, is_running: Callable[[], bool]
) -> Jobs:
    """
    The jobs of a web worker. Those that run in it use *speech*, charge *allowance*, and are put back once
    *is_running* says that the web worker is about to end. InsufficientStorage where no jobs can be kept.
    """
    store: Store
    kept: Files
    queue: Queue
    if settings.celery_broker_url:
        store, kept, queue = build_fleet(settings)
    else:
        store, kept, queue = build_local(settings, speech, allowance, is_running)
    # Readers of events take threads from those that are no engine's; the other half answers health checks.
    watchers = threading.Semaphore(max(1, (settings.web_threads - settings.engine_seats) // 2))
    return Jobs(store, kept, queue, settings.job_disk_mb << 20, watchers)


def build_local(
    settings: Settings, speech: Speech, allowance: Allowance | None, is_running: Callable[[], bool]
) -> tuple[SqliteStore, LocalFiles, JobWorker]:
    """Jobs under DATA_DIR, run by a thread of the service."""
    import sqlite3

    from .local_worker import JobWorker
    from .store_sqlite import open_store

    directory = Path(settings.data_dir) / "jobs"
    try:
        kept = files.LocalFiles(directory)
        store = open_store(directory)
    except (OSError, sqlite3.Error) as error:
        raise InsufficientStorage(f"jobs can't be kept in {directory}: {error}; set DATA_DIR") from None
    return store, kept, JobWorker(store, kept, settings, speech, allowance, is_running)


def build_fleet(
    settings: Settings, keep_retrying: Callable[[], bool] = lambda: False, celery: Celery | None = None
) -> tuple[RedisStore, Files, CeleryQueue]:
    """
    Jobs that web and workers share; nothing is connected yet. *keep_retrying*: see RedisStore. *celery* is a worker's.

    InsufficientStorage where their files can't be kept.
    """
    from .fleet.queue import CeleryQueue, celery_app
    from .fleet.store import RedisStore
    from .fleet.transactions import connect

    store = RedisStore(connect(settings.fleet_redis_url), keep_retrying)
    queue = CeleryQueue(celery or celery_app(settings), store)
    try:
        kept = files.build(settings)
        if isinstance(kept, files.LocalFiles):
            (kept.directory / files.OF_WORKERS).touch(mode=0o600)
        return store, kept, queue
    except Exception as error:  # each storage's library has its own
        where = "JOB_STORAGE_URL" if settings.job_storage_url else "DATA_DIR"
        reason = f"{type(error).__name__}: {error}"
        raise InsufficientStorage(f"jobs can't be kept at {where}: {reason}; set {where}") from None
