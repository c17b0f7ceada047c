"""What lives as long as a web worker: built here, closed here."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import memory
from .access import Access, LiveSessions
from .checks import BackgroundChecks, Check
from .config import Settings
from .engine.budget import budget_mb, weigh_web
from .errors import ServiceError
from .files import directory_problem, free_bytes
from .monitoring.monitoring import Monitoring
from .monitoring.shared_memory import own_slot
from .speech.service import Speech

if TYPE_CHECKING:
    from .jobs.job import Counts
    from .jobs.service import Jobs

log = logging.getLogger(__name__)

JOBS_RETRY_SECONDS = 10


@dataclass
class Services:
    """One per worker, in `app.extensions["services"]`; views reach the world through it."""

    settings: Settings
    speech: Speech
    access: Access
    live: LiveSessions
    root_pid: int = field(default_factory=os.getpid)  # gunicorn's master, once its hook has told
    started_at: float = field(default_factory=time.time)
    monitoring: Monitoring | None = None
    is_running: Callable[[], bool] = lambda: True  # False once this worker is about to end
    _jobs: Jobs | None = None
    _retry: threading.Timer | None = None
    _jobs_lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._checks = BackgroundChecks(self._look)

    @classmethod
    def build(cls, settings: Settings) -> Services:
        """Everything, from the settings; nothing is started yet. ConfigError: the model can't fit the budget."""
        speech = Speech(settings, budget_mb(settings) / settings.web_concurrency, weigh_web)
        slot = own_slot()
        live = LiveSessions(
            settings.realtime_sessions, settings.live_sessions_here, slot.memory.live, slot.number
        )
        services = cls(settings, speech, Access(settings), live)
        if settings.monitoring:
            services.monitoring = Monitoring(slot, services.processes)
            speech.watch(services.monitoring.metrics)
        return services

    def begin(self, root_pid: int, is_running: Callable[[], bool]) -> None:
        """
        The worker serves from now on: go on with the jobs there are.

        What has none does not weigh their 1.5 MB, most of it SQLite; workers' 16 MB, most of it Celery's
        library, come with the first job or the first look at how many there are.
        """
        self.root_pid, self.is_running = root_pid, is_running
        if not self.settings.celery_broker_url and _has_jobs(self.settings):
            self._begin_jobs()

    def _begin_jobs(self) -> None:
        try:
            self.jobs  # noqa: B018 (builds them, which starts their thread)
        except ServiceError as error:  # a full disk, most likely; the rest of the service can do without
            log.error("jobs: %s; the next try is in %d s", error.message, JOBS_RETRY_SECONDS)
            self._retry = threading.Timer(JOBS_RETRY_SECONDS, self._begin_jobs)
            self._retry.daemon = True
            self._retry.start()

    @property
    def jobs(self) -> Jobs:
        """The jobs, built when they are first asked for."""
        with self._jobs_lock:
            if self._jobs is None:
                from .jobs.service import build

                allowance = self.access.allowance
                self._jobs = build(self.settings, self.speech, allowance, lambda: self.is_running())
            return self._jobs

    def job_counts(self) -> Counts | None:
        """How many jobs there are, none where there never was one; None while what keeps them is away."""
        from .jobs.job import NO_COUNTS

        if self._jobs is None and not self.settings.celery_broker_url and not _has_jobs(self.settings):
            return NO_COUNTS
        try:
            return self.jobs.counts()
        except ServiceError:
            return None

    def processes(self) -> list[memory.Process]:
        """Every process of the service, over all workers."""
        return memory.service(self.root_pid)

    def checks(self) -> tuple[Check, ...]:
        """Each thing the service needs, and what is wrong with it, as of the last seconds; waits for nothing."""
        return self._checks.results()

    def _look(self) -> Iterator[Check]:
        yield from self.speech.checks()
        yield _uploads(self.settings)
        from .jobs.service import checks

        yield from checks(self.settings, self._jobs, lambda: self.jobs)
        yield from self.access.checks()

    def close(self) -> None:
        """End what was begun: the jobs first, which are the engines' clients."""
        self._checks.close()
        if self._retry is not None:
            self._retry.cancel()
        if self._jobs is not None:
            self._jobs.queue.close()
        self.speech.close()


def _uploads(settings: Settings) -> Check:
    directory = settings.upload_dir or tempfile.gettempdir()
    if problem := directory_problem(directory):
        return Check("uploads", f"{problem}; set UPLOAD_DIR to a directory that can be written to")
    free_mb = free_bytes(directory) / memory.MB
    if free_mb < settings.max_upload_mb:
        return Check("uploads", f"{directory} can't take an upload: {free_mb:.0f} MB free; set UPLOAD_DIR")
    return Check("uploads", detail=f"{free_mb:.0f} MB free")


def _has_jobs(settings: Settings) -> bool:
    return os.path.exists(os.path.join(settings.data_dir, "jobs", "jobs.sqlite3"))
