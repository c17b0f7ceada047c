"""Looks after jobs that no worker runs: every worker does it every few seconds, and one worker alone is enough."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable

from ...errors import BrokerUnavailable, ServiceError
from ...memory import Throttle
from ..job import FAILED, Files, Job, process_name
from ..webhooks import Webhooks
from . import parts
from .queue import CeleryQueue
from .store import RedisStore

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
EXPIRE_SECONDS = 60.0
OLDEST = 16


class Sweep:
    """
    Sends messages that are due or were lost, puts back the jobs of lost workers, and removes expired jobs.

    Owned by a worker's main process; `start` starts its thread. *idle* says whether this worker has no job: a job
    that waits all the same has lost its message, because otherwise this worker would have received it.
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
        self._expired: dict[
            str, int
        ] = {}  # running jobs without a lease at the last sweep, and their attempt
        self._was_idle = False
        self._name = process_name()
        self._remove_expired = Throttle(EXPIRE_SECONDS)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def start(self) -> None:
        """Sweep from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
            with contextlib.suppress(BrokerUnavailable):
                self._store.forget_worker(self._name)
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
        """Do all of it once. *now* is in seconds since 1970."""
        self._store.note_worker(self._name)
        for id in self._store.unpublished(now):
            self._queue.send(id)
        self._put_back_lost(now)
        self._send_again(now)
        webhook_at = self._store.next_webhook_at()
        if webhook_at is not None and webhook_at <= now:
            self._webhooks.wake()
        if self._remove_expired():
            for id in self._store.finished_before(now - self._keep_seconds):
                self._files.remove(id)
                self._store.remove(id)

    def _put_back_lost(self, now: float) -> None:
        """
        Put back the jobs that had no lease at two sweeps in a row.

        Two, because after Redis itself was away, workers need time to renew their leases.
        """
        expired = self._store.expired_leases()
        for job in expired:
            if self._expired.get(job.id) != job.attempt:
                continue
            if job.extra.get("parts"):
                parts.join(job.id, self._store, self._files, now)
            else:
                self._lost(job, now)
        self._expired = {job.id: job.attempt for job in expired}

    def _lost(self, job: Job, now: float) -> None:
        if job.count_failure() < self._attempts:
            log.warning("job=%s attempt=%d lost its worker; it is done again", job.id, job.attempt)
            self._store.put_back(job, now)
            return
        error = ServiceError(f"{job.failures} workers were lost while they worked on it")
        self._store.finish(job, FAILED, now, {"message": error.message, "code": error.code, "param": None})

    def _send_again(self, now: float) -> None:
        """Send a message for one of the oldest queued jobs, when this worker was idle at two sweeps in a row."""
        idle = self._idle()
        if idle and self._was_idle and (waiting := self._store.oldest_queued(now, OLDEST)):
            self._queue.send(random.choice(waiting))  # noqa: S311 (so that idle workers look at different ones)
        self._was_idle = idle
