"""
Jobs run in the service: one at a time over all web workers, by a thread of the one that holds the lock.

    DATA_DIR/jobs/jobs.sqlite3            their state (store_sqlite.py)
                  ID/job.json             a copy of it
                  ID/recording, result    files.py
                  running.lock            held by whoever runs jobs; the system releases it when that process ends
                  bell                    a pipe: a byte in it says that there is something to do
                  of-workers              there are, or were, jobs of Redis beside these
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from .. import logs, memory
from ..errors import ServiceEnded, ServiceError
from .files import OF_WORKERS, LocalFiles
from .job import Job, process_name
from .runner import Attempt, Runner
from .store_sqlite import SqliteStore
from .webhooks import Webhooks

log = logging.getLogger(__name__)

ORPHAN_SECONDS = 60.0  # files younger than this may belong to a job that is just being accepted
# An engine stops within 0.3 s; another server (OPENAI_BASE_URL) may not answer for longer, and its job is put back
# by the next worker.
CLOSE_SECONDS = 5.0
RETRY_SECONDS = 5.0  # when the disk or the database has failed


@dataclass(eq=False, repr=False)
class JobWorker(threading.Thread, Runner):
    """
    Runs jobs, removes those whose time is over, and sends webhooks. One thread per web worker, owned by Services.

    It waits for the lock; once it has the lock, for a byte in the pipe or for the next thing that is due.
    """

    store: SqliteStore
    files: LocalFiles
    process_is_running: Callable[[], bool]
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        # A daemon: one that still waits for another process's lock must not keep this process.
        super().__init__(name="jobs", daemon=True)
        self._lifetime = self.settings.job_ttl_hours * 3600
        self._webhooks = Webhooks(self.store, self.settings)
        self._wakeup_path = self.files.directory / "bell"
        self._closing = threading.Event()
        self._has_lock = threading.Event()
        self._sweep_at: float | None = None

    def check(self) -> None:
        """Jobs can always be given to this worker."""

    def changed(self, job: Job) -> None:
        """Wake the thread that runs jobs, in this web worker or in another one; the end of *job* is told from here."""
        if job.webhook_state:  # it was cancelled, and that thread may have another job for an hour
            self._webhooks.wake()
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # nobody reads: whoever gets the lock looks at the store first
            pipe = os.open(self._wakeup_path, os.O_WRONLY | os.O_NONBLOCK)
            with os.fdopen(pipe, "wb", 0) as bell:
                bell.write(b"!")

    def close(self) -> None:
        """Stop; a running job is put back."""
        self._closing.set()
        self._wake()
        if self._has_lock.is_set():
            self.join(CLOSE_SECONDS)
        self._webhooks.close()
        if not (self.is_alive() and self._has_lock.is_set()):
            self.store.close()

    def run(self) -> None:
        """Wait for the lock, then serve."""
        lock_path = self.files.directory / "running.lock"
        with os.fdopen(os.open(lock_path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._has_lock.set()
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self._wakeup_path, 0o600)
            # for writing, too, so it never ends
            with os.fdopen(os.open(self._wakeup_path, os.O_RDWR | os.O_NONBLOCK), "rb", 0) as pipe:
                self._serve(pipe)

    def _serve(self, pipe: IO[bytes]) -> None:
        taken_over = False
        while self._is_running():
            try:
                if not taken_over:
                    self.take_over()
                    taken_over = True
                wait = self.step()
            except Exception as error:  # a full disk, most likely, which needs no traceback
                is_known = isinstance(error, OSError | ServiceError)
                log.error("jobs: %s; the next try is in %g s", error, RETRY_SECONDS, exc_info=not is_known)
                wait, taken_over = RETRY_SECONDS, False
            if select.select([pipe], [], [], wait)[0]:
                pipe.read(4096)

    def _is_running(self) -> bool:
        return not self._closing.is_set() and self.process_is_running()

    def take_over(self) -> None:
        """Put back the jobs of a worker that is dead, and remove files that belong to no job."""
        now = self.clock()
        for job in self.store.abandoned():
            times = f"{job.count_failure()} times while it worked on this (JOB_ATTEMPTS)"
            self.files.drop_unfinished(job.id)  # nobody else is here who could be writing
            if self.retry_or_end(job, ServiceEnded(f"the service ended {times}"), now, now):
                seconds = job.resume.get("seconds", 0.0)
                log.warning(
                    "job=%s was being worked on when the service ended; done again from %.0f s",
                    job.id,
                    seconds,
                )
        self._sweep(now)
        self._sweep_at = now + ORPHAN_SECONDS + 1
        if self.store.next_webhook_at() is not None:  # from here on its own thread knows when
            self._webhooks.wake()

    def step(self) -> float | None:
        """Do what is due, one job at most; the seconds until more is due, None when only the pipe will tell."""
        now = self.clock()
        if self._sweep_at is not None and now >= self._sweep_at:
            self._sweep(now)
            self._sweep_at = None
        for id in self.store.finished_before(now - self._lifetime):
            self.files.remove(id)
            self.store.remove(id)
        self._webhooks.wake_if_due(now)
        job = self.store.claim_next(now, process_name())
        if job is None:
            due = [at for at in (self._sweep_at, self.store.next_due(self._lifetime)) if at is not None]
            return max(0.0, min(due) - now) + 0.001 if due else None
        logs.request_id.set(job.id)
        Attempt(job, self, self._is_running, clock=self.clock).run()
        logs.request_id.set("-")
        memory.give_back()  # what the job left in the heap; while jobs queue, no engine becomes idle and does it
        return 0.0

    def _sweep(self, now: float) -> None:
        """Remove the directories that belong to no job; where Redis had jobs here, once theirs would have expired."""
        keep_seconds = self._lifetime if (self.files.directory / OF_WORKERS).exists() else ORPHAN_SECONDS
        with os.scandir(self.files.directory) as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    old = now - entry.stat().st_ctime > keep_seconds
                    if entry.is_dir() and old and not self.store.has(entry.name):
                        log.info("jobs: %s belongs to no job; removed", entry.name)
                        self.files.remove(entry.name)
