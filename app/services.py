"""What lives as long as a web worker: built here, closed here."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import cgroup, memory
from .access.access import Access
from .checks import Check
from .config import Settings
from .monitoring import board
from .voice.speech import Speech

if TYPE_CHECKING:
    from .monitoring.monitoring import Monitoring

# Weighing the processes for them takes 6 ms, and a prober should not be able to make that the service's work.
CHECKS_LAST_SECONDS = 1.0


@dataclass
class Services:
    """One per worker, in `app.extensions["services"]`; views reach the world through it."""

    settings: Settings
    speech: Speech
    access: Access
    root_pid: int = field(default_factory=os.getpid)  # gunicorn's master, once its hook has told
    started_at: float = field(default_factory=time.time)
    monitoring: Monitoring | None = None
    _checks: list[Check] = field(default_factory=list)
    _check_at: float = 0.0

    @classmethod
    def build(cls, settings: Settings) -> Services:
        """Everything, from the settings; nothing is started yet. ConfigError: the model can't fit the budget."""
        speech = Speech.build(settings, budget_mb(settings) / settings.web_concurrency, weigh_web)
        services = cls(settings, speech, Access.build(settings))
        if settings.monitoring:
            from .monitoring.monitoring import Monitoring  # 1.5 MB of prometheus_client

            services.monitoring = Monitoring(board.here(), services.processes)
            speech.watch(services.monitoring.metrics)
        return services

    def processes(self) -> list[memory.Process]:
        """Every process of the service, over all workers."""
        return memory.service(self.root_pid)

    def checks(self) -> list[Check]:
        """Each thing the service needs, and what is wrong with it, as of the last second."""
        now = time.monotonic()
        if now >= self._check_at or not self._checks:
            self._check_at = now + CHECKS_LAST_SECONDS
            self._checks = [*self.speech.checks(), _uploads(self.settings), *self.access.checks]
        return self._checks

    def close(self) -> None:
        """End what was begun."""
        self.speech.close()


def budget_mb(settings: Settings) -> float:
    """What the whole service may weigh: as set, else the container's limit, else the machine's memory."""
    if settings.memory_budget_mb:
        return settings.memory_budget_mb
    group = cgroup.memory_group()
    machine = memory.system().total_mb
    return min(group.limit_bytes / 2**20, machine) if group and group.limit_bytes else machine


def weigh_web() -> float:
    """What a worker's share of the service weighs without its engines: itself and its parent, the master."""
    weight = memory.footprint().pss_mb
    try:
        return weight + memory.footprint(os.getppid()).pss_mb
    except ProcessLookupError:
        return weight


def _uploads(settings: Settings) -> Check:
    directory = settings.upload_dir or tempfile.gettempdir()
    try:
        disk = os.statvfs(directory)
    except OSError as error:
        return Check("uploads", f"{directory}: {error.strerror}; set UPLOAD_DIR to a directory that exists")
    free_mb = disk.f_bavail * disk.f_frsize / 2**20
    if not os.access(directory, os.W_OK) or free_mb < settings.max_upload_mb:
        return Check("uploads", f"{directory} can't take an upload: {free_mb:.0f} MB free; set UPLOAD_DIR")
    return Check("uploads", detail=f"{free_mb:.0f} MB free")
