"""Does the job of a task, or one part of a long job, in a process of a worker; and looks after jobs nobody does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...access.limits import Allowance
from ...config import Settings
from ...errors import BrokerUnavailable
from ...memory import Throttle
from ...speech.service import Speech
from .. import runner
from ..job import FAILED, QUEUED, RUNNING, SUCCEEDED, Files, Job, is_part, process_name
from . import parts
from .queue import VISIBILITY_SECONDS, CeleryQueue
from .records import BEAT_SECONDS, LEASE_SECONDS
from .store import RedisStore

TOLD_SECONDS = 2.0  # from one progress that Celery is told to the next


class NotNow(Exception):
    """The message comes back in so many *seconds*: another worker holds the job, or it is not due yet."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@contextlib.contextmanager
def held(job: Job, store: RedisStore) -> Iterator[threading.Event]:
    """
    The lease on *job* is renewed meanwhile; the event is set once another worker has the job.

    While Redis does not answer, the work goes on; the store accepts no result from a worker that lost the job.
    """
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not ended.wait(BEAT_SECONDS) and not lost.is_set():
            with contextlib.suppress(BrokerUnavailable):
                if not store.renew_lease(job):
                    lost.set()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        ended.set()
        thread.join()


@dataclass
class Performer:
    """
    One per process of a worker. It does one job at a time, through the same Speech and engines as a web worker.

    *leaving* says whether the process is about to end: the job is then put back for another worker. *pause* waits so
    many seconds.
    """

    settings: Settings
    speech: Speech
    allowance: Allowance
    store: RedisStore
    files: Files
    queue: CeleryQueue
    leaving: Callable[[], bool]
    pause: Callable[[float], None] = time.sleep

    def claim(self, id: str) -> Job | None:
        """The job *id*, now run by this process; None when there is nothing to do for it. NotNow."""
        for _ in range(3):
            if (claimed := self.store.claim(id, time.time(), process_name())) is not None:
                return claimed
            job = self.store.get(id)
            if job is None or job.extra.get("parts"):
                return None
            if job.state == QUEUED:
                raise NotNow(job.due_at - time.time())
            if job.state != RUNNING:
                return None
            if not self.store.is_held(id):
                self.pause(2 * BEAT_SECONDS)  # after Redis itself was away, its holder needs time to renew
            if self.store.is_held(id):
                raise NotNow(LEASE_SECONDS)
            self._lost(job)
        raise NotNow(LEASE_SECONDS)

    def _lost(self, job: Job) -> None:
        """Its worker is gone: it is queued, or has failed too often."""
        if job.count_failure() < self.settings.job_attempts:
            runner.log.warning(
                "job=%s attempt=%d lost its worker; another goes on with it", job.id, job.attempt
            )
            self.store.put_back(job, time.time())
            return
        message = f"{job.failures} workers were lost while they worked on it"
        self.store.finish(
            job, FAILED, time.time(), {"message": message, "code": "internal_error", "param": None}
        )
        self._failed_part(job.id)

    def perform(self, job: Job, tell: Callable[[Job], None]) -> list[Job]:
        """
        Do *job*, which was claimed; *tell* is called with it now and then.

        If it is long, nothing of it is done: it is divided into parts, which are returned.
        """
        told = Throttle(TOLD_SECONDS)
        with held(job, self.store) as lost:

            def should_continue() -> bool:
                if told():
                    tell(job)
                return not (lost.is_set() or self.leaving())

            divided = parts.split(
                job,
                self.store,
                self.files,
                self.speech,
                part_seconds=self.settings.job_part_minutes * 60,
                should_continue=should_continue,
            )
            if not divided:
                runner.run(
                    job,
                    self.store,
                    self.files,
                    self.speech,
                    allowance=self.allowance,
                    attempts=self.settings.job_attempts,
                    time_limit_seconds=self.settings.job_time_limit_minutes * 60,
                    retry_seconds=lambda failures: 0.0,  # Celery waits before it sends the task again
                    is_running=should_continue,
                )
        self._failed_part(job.id)
        return divided

    def _failed_part(self, id: str) -> None:
        """A job fails with the first of its parts that has failed for good."""
        part = self.store.get(id) if is_part(id) else None
        if part is None or part.state != FAILED:
            return
        if (job := parts.fail(part, self.store, self.files, time.time())) is not None:
            self.queue.changed(job)

    def join(self, id: str) -> None:
        """End the job *id* with the results of its parts, if all have succeeded."""
        parts.join(id, self.store, self.files, time.time())

    def _can_be_joined(self, job: Job) -> bool:
        parts = self.store.parts(job)
        return bool(parts) and all(part.state == SUCCEEDED for part in parts)

    def look_after(self, sent_at: float, *, behind: bool) -> None:
        """
        Send the tasks that were swallowed, and remove what has expired.

        This was asked for at *sent_at* by a message that has come: so have all before it that are no longer in the
        broker's queue. *behind*: look at parts, whose messages come behind the others, and at jobs divided into them.
        """
        waiting_since, lost_since = sent_at - VISIBILITY_SECONDS, sent_at - 2 * LEASE_SECONDS
        for job in self.store.overdue(waiting_since, lost_since):
            divided = bool(job.extra.get("parts"))
            if (divided or is_part(job.id)) != behind:
                continue
            if divided and not self._can_be_joined(job):
                continue
            runner.log.warning("job=%s waits, and its message is gone; another is sent", job.id)
            self.queue.send(job)
        if not behind:
            for id in self.store.finished_before(time.time() - self.settings.job_ttl_hours * 3600):
                self.files.remove(id)
                self.store.remove(id)

    def close(self) -> None:
        """End the engines."""
        with contextlib.suppress(OSError):
            self.speech.close()
