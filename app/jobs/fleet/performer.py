"""Runs the job of a message, or one part of a long job, in a process of a worker."""

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
from ..job import Files, Job, is_part, process_name
from . import parts
from .lease import LeaseHeartbeat
from .queue import CeleryQueue
from .store import RedisStore


@dataclass
class Performer:
    """
    One per process of a worker. It runs one job at a time, through the same Speech and engines as a web worker.

    *leaving* says whether the process is about to end: the job is then put back for another worker.
    """

    settings: Settings
    speech: Speech
    allowance: Allowance
    store: RedisStore
    files: Files
    queue: CeleryQueue
    leaving: Callable[[], bool]

    def perform(self, id: str) -> None:
        """Run the job *id* if it is queued and due; messages for other jobs are expected, and ignored."""
        job = self.store.claim(id, time.time(), process_name())
        if job is None:
            parts.join(id, self.store, self.files, time.time())
            return
        with LeaseHeartbeat(job, self.store) as lease:

            def should_continue() -> bool:
                return not (lease.lost or self.leaving())

            self._perform(job, should_continue)

    def _perform(self, job: Job, should_continue: Callable[[], bool]) -> None:
        part_seconds = self.settings.job_part_minutes * 60
        divided = parts.split(
            job,
            self.store,
            self.files,
            self.speech,
            part_seconds=part_seconds,
            should_continue=should_continue,
        )
        if divided:
            self.queue.changed(divided[0])
            return
        runner.run(
            job,
            self.store,
            self.files,
            self.speech,
            allowance=self.allowance,
            attempts=self.settings.job_attempts,
            time_limit_seconds=self.settings.job_time_limit_minutes * 60,
            is_running=should_continue,
        )
        if is_part(job.id):
            parts.join(job.extra["part_of"], self.store, self.files, time.time())
            if (following := self.store.next_unpublished_part(job.extra["part_of"])) is not None:
                with contextlib.suppress(BrokerUnavailable):  # the sweep will
                    self.queue.send(following)

    def close(self) -> None:
        """End the engines."""
        self.speech.close()
