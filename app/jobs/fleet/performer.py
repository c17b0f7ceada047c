"""What a worker's process does with a message: one job, or one part of one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from ...access.limits import Allowance
from ...config import Settings
from ...errors import BrokerUnavailable
from ...speech.service import Speech
from .. import runner
from ..job import Files, Job
from . import whole
from .lease import Held
from .part import is_part
from .queue import CeleryQueue
from .store import RedisStore


@dataclass
class Performer:
    """
    One per process that works on jobs, one job at a time, through the same Speech and engines as a web worker.

    *leaving* is asked now and then whether the process is to end: the job is then put back for another one.
    """

    settings: Settings
    speech: Speech
    allowance: Allowance
    store: RedisStore
    files: Files
    queue: CeleryQueue
    leaving: Callable[[], bool]

    def perform(self, id: str) -> None:
        """Do the job *id* if it is to be done; a message for one that is not is no mistake."""
        job = self.store.begin(id, time.time())
        if job is None:
            whole.join(id, self.store, self.files, time.time())
            return
        with Held(job, self.store) as held:

            def wanted() -> bool:
                return not (held.lost or self.leaving())

            self._perform(job, wanted)

    def _perform(self, job: Job, wanted: Callable[[], bool]) -> None:
        part_seconds = self.settings.job_part_minutes * 60
        parts = whole.split(
            job, self.store, self.files, self.speech, part_seconds=part_seconds, wanted=wanted
        )
        if parts:
            self.queue.changed(parts[0])
            return
        runner.run(
            job,
            self.store,
            self.files,
            self.speech,
            allowance=self.allowance,
            attempts=self.settings.job_attempts,
            time_limit_seconds=self.settings.job_time_limit_minutes * 60,
            wanted=wanted,
        )
        if is_part(job):
            whole.join(job.extra["part_of"], self.store, self.files, time.time())
            if (following := self.store.untold_part(job.extra["part_of"])) is not None:
                with contextlib.suppress(BrokerUnavailable):  # the sweep will
                    self.queue.send(following)

    def close(self) -> None:
        """End the engines."""
        self.speech.close()
