"""What a worker's process does with a message: one job, or one part of one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ...config import Settings
from ...voice.speech import Speech
from .. import runner
from ..job import Files, Job
from . import whole
from .lease import Held
from .part import is_part
from .queue import CeleryQueue
from .store import RedisStore

log = logging.getLogger(__name__)


class Performer:
    """
    One per process that works on jobs, one job at a time, through the same Speech and engines as a web worker.

    *leaving* is asked now and then whether the process is to end: the job is then put back for another one.
    """

    def __init__(
        self,
        settings: Settings,
        speech: Speech,
        parts: tuple[RedisStore, Files, CeleryQueue],
        leaving: Callable[[], bool],
    ) -> None:
        self._settings, self._speech, self._leaving = settings, speech, leaving
        self._store, self._files, self._queue = parts

    def perform(self, id: str) -> None:
        """Do the job *id* if it is to be done; a message for one that is not is no mistake."""
        job = self._store.begin(id, time.time())
        if job is None:
            self._join(id)
            return
        with Held(job, self._store) as held:

            def wanted() -> bool:
                return not (held.lost or self._leaving())

            self._perform(job, wanted)

    def _perform(self, job: Job, wanted: Callable[[], bool]) -> None:
        if (clips := whole.cut(job, self._files, self._speech, wanted, settings=self._settings)) is not None:
            for part in self._store.split(job, clips) or ():
                self._tell(part)
            return
        runner.run(
            job, self._store, self._files, self._speech, attempts=self._settings.job_attempts, wanted=wanted
        )
        if is_part(job):
            self._join(job.extra["part_of"])

    def _join(self, id: str) -> None:
        whole.join(id, self._store, self._files, now=time.time())

    def _tell(self, part: Job) -> None:
        self._queue.changed(part)

    def close(self) -> None:
        """End the engines."""
        self._speech.close()
