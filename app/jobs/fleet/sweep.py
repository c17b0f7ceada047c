"""What is done for jobs that nobody works on: by every worker, every few seconds, and by any of them alone."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from ...errors import BrokerUnavailable, ServiceError
from ...memory import Throttle
from ..job import FAILED, Files, Job
from ..webhooks import Webhooks
from . import whole
from .queue import CeleryQueue
from .store import RedisStore

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
EXPIRE_SECONDS = 60.0
OLDEST = 16


class Sweep:
    """
    Sends messages that are due or were lost, gives lost workers' jobs to others, removes what has expired.

    Owned by a worker's main process; `begin` starts its thread. *idle* says whether this worker has nothing to
    do: then a job that waits has lost its message, for with it it would have come here.
    """

    def __init__(
        self,
        store: RedisStore,
        files: Files,
        queue: CeleryQueue,
        webhooks: Webhooks,
        *,
        idle: Callable[[], bool],
        attempts: int,
        keep_seconds: float,
    ) -> None:
        self._store, self._files, self._queue, self._webhooks = store, files, queue, webhooks
        self._idle, self._attempts, self._keep_seconds = idle, attempts, keep_seconds
        self._unheld: dict[str, int] = {}  # running jobs nobody held at the last sweep, and their attempt
        self._was_idle = False
        self._expire = Throttle(EXPIRE_SECONDS)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def begin(self) -> None:
        """Sweep from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._webhooks.close()

    def _run(self) -> None:
        while not self._ended.wait(SWEEP_SECONDS):
            try:
                self.sweep(time.time())
            except BrokerUnavailable as error:
                log.warning("sweep: %s", error.message)
            except Exception:
                log.exception("sweep failed")

    def sweep(self, now: float) -> None:
        """Once."""
        for id in self._store.hints_due(now):
            self._queue.send(id)
        self._give_back(now)
        self._send_again(now)
        if self._store.webhooks_due(now):
            self._webhooks.wake()
        if self._expire():
            for id in self._store.finished_before(now - self._keep_seconds):
                self._files.remove(id)
                self._store.remove(id)

    def _give_back(self, now: float) -> None:
        """
        Jobs nobody held at two sweeps in a row are somebody else's now.

        Two, because after a break of Redis's own the workers must have the time to say that they are there.
        """
        unheld = {job.id: job for job in self._store.lapsed()}
        for job in unheld.values():
            if self._unheld.get(job.id) != job.attempt:
                continue
            if job.extra.get("parts"):
                whole.join(job.id, self._store, self._files, now)
            else:
                self._lost(job, now)
        self._unheld = {job.id: job.attempt for job in unheld.values()}

    def _lost(self, job: Job, now: float) -> None:
        job.failures += 1
        if job.failures < self._attempts:
            log.warning("job=%s attempt=%d lost its worker; it is done again", job.id, job.attempt)
            self._store.put_back(job, now)
            return
        error = ServiceError(f"{job.failures} workers were lost while they worked on it")
        self._store.finish(job, FAILED, now, {"message": error.message, "code": error.code, "param": None})

    def _send_again(self, now: float) -> None:
        """One of the oldest jobs that wait, when this worker had nothing to do since the last sweep."""
        idle = self._idle()
        if idle and self._was_idle and (waiting := self._store.oldest_queued(now, OLDEST)):
            self._queue.send(random.choice(waiting))  # noqa: S311 (so that idle workers look at different ones)
        self._was_idle = idle
