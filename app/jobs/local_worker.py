"""
Jobs run in the service: one at a time over all web workers, by a thread of whichever holds the lock.

    DATA_DIR/jobs/jobs.sqlite3            where they stand (sqlite.py)
                  ID/recording, result    files.py
                  ID/job.json             snapshots.py
                  running.lock            held by whoever runs jobs; the system lets go of it when that process ends
                  bell                    a pipe: a byte in it says that there is something new
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import select
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .. import logs, memory
from ..errors import InsufficientStorage
from . import runner
from .files import LocalFiles, private
from .job import FAILED, Job
from .snapshots import Snapshots
from .store_sqlite import SqliteStore
from .webhooks import Webhooks

if TYPE_CHECKING:
    from ..config import Settings
    from ..services import Services

log = logging.getLogger(__name__)

DATABASE, BROKEN = "jobs.sqlite3", ".broken-"
ORPHAN_SECONDS = 60.0  # files younger than this may belong to a job that is just being accepted
# An engine's step is left within 0.3 s; another server's answer (OPENAI_BASE_URL) is not, and its job is begun anew.
LEAVING_SECONDS = 5.0
TROUBLE_SECONDS = 5.0  # until the next try when the disk or the database fails


def build(services: Services) -> tuple[SqliteStore, LocalFiles, Thread]:
    """What keeps and runs the jobs under DATA_DIR; InsufficientStorage where there can't be any."""
    directory = home(services.settings)
    try:
        files = LocalFiles(directory)
        store = open_store(directory)
    except (OSError, sqlite3.Error) as error:
        raise InsufficientStorage(f"jobs can't be kept in {directory}: {error}; set DATA_DIR") from None
    return store, files, Thread(store, files, services)


def home(settings: Settings) -> Path:
    """The directory of jobs."""
    return Path(settings.data_dir) / "jobs"


def open_store(directory: Path) -> SqliteStore:
    """
    The database in *directory*. A broken one is set aside, and a new one begun with what the snapshots know.

    One process at a time, so that no two of them set it aside.
    """
    path, snapshots = directory / DATABASE, Snapshots(directory)
    guard = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        new = not path.exists() or not path.stat().st_size
        try:
            return SqliteStore(path, snapshots, restore=new)
        except sqlite3.OperationalError:
            raise  # it can't be opened, which says nothing about what is in it
        except sqlite3.DatabaseError as error:
            aside = set_aside(path)
            log.error("jobs: %s is broken (%s); kept as %s, a new one is begun", path, error, aside)
            return SqliteStore(path, snapshots, restore=True)
    finally:
        os.close(guard)


def set_aside(path: Path) -> Path:
    """Give a broken database, and what belongs to it, another name beside the directory of jobs; which."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.parent.parent / f"{path.name}{BROKEN}{stamp}"
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    return aside


class Thread:
    """
    Runs jobs, removes those whose time is over, and sends webhooks. One per worker, owned by Services.

    It begins with the first job of this worker, or at the start where there were jobs before, waits for the
    lock, and once it has it for the bell or the next thing that is due.
    """

    def __init__(
        self,
        store: SqliteStore,
        files: LocalFiles,
        services: Services,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._files, self._services, self._clock = store, files, services, clock
        self._settings = services.settings
        self._lifetime = self._settings.job_ttl_hours * 3600
        self._webhooks = Webhooks(store, self._settings, services.speech.budget)
        self._bell = files.directory / "bell"
        self._closing = threading.Event()
        self._holding = threading.Event()
        self._lock = threading.Lock()  # guards the one below
        self._thread: threading.Thread | None = None
        self._sweep_at = 0.0

    def check(self) -> None:
        """Jobs can always be given out here."""

    def begin(self) -> None:
        """Have the thread, if there is none yet."""
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                # A daemon: one that still waits for another worker's lock must not keep this process.
                self._thread = threading.Thread(target=self._main, name="jobs", daemon=True)
                self._thread.start()

    def changed(self, job: Job) -> None:
        """There is something to do, for this worker's thread or another's."""
        self.begin()
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # nobody listens: whoever gets the lock looks by himself
            bell = os.open(self._bell, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(bell, b"!")
            finally:
                os.close(bell)

    def close(self) -> None:
        """Stop; a running job is put back, to be begun anew."""
        self._closing.set()
        self._ring()
        with self._lock:
            thread = self._thread
        if thread is not None and self._holding.is_set():
            thread.join(LEAVING_SECONDS)
        self._webhooks.close()
        if not (thread is not None and thread.is_alive() and self._holding.is_set()):
            self._store.close()

    def _main(self) -> None:
        with open(self._files.directory / "running.lock", "w", opener=private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._holding.set()
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self._bell, 0o600)
            bell = os.open(self._bell, os.O_RDWR | os.O_NONBLOCK)  # as a writer, too, so that it never ends
            try:
                self._serve(bell)
            finally:
                os.close(bell)

    def _serve(self, bell: int) -> None:
        taken_over = False
        while self._goes_on():
            try:
                if not taken_over:
                    self.take_over()
                    taken_over = True
                wait = self.step()
            except Exception:  # a full disk, most likely
                log.exception("jobs: trouble; the next try is in %g s", TROUBLE_SECONDS)
                wait, taken_over = TROUBLE_SECONDS, False
            if select.select([bell], [], [], wait)[0]:
                os.read(bell, 4096)

    def _goes_on(self) -> bool:
        return not self._closing.is_set() and self._services.goes_on()

    def take_over(self) -> None:
        """Put back what a runner that is dead was doing, and remove what belongs to nobody."""
        now = self._clock()
        for job in self._store.abandoned():
            job.failures += 1
            if job.failures < self._settings.job_attempts:
                self._store.put_back(job, now)
                self._files.drop_unfinished(job.id)
                log.warning("job=%s was being worked on when the service ended; begun anew", job.id)
            else:
                message = f"the service ended {job.failures} times while it worked on this (JOB_ATTEMPTS)"
                self._store.finish(
                    job, FAILED, now, {"message": message, "code": "service_ended", "param": None}
                )
        self._sweep(now)
        self._sweep_at = now + ORPHAN_SECONDS + 1
        if self._store.webhooks_due(math.inf):  # from here on its own thread knows when
            self._webhooks.wake()

    def step(self) -> float | None:
        """Do what is due, one job at the most; seconds until there is more to do, None when the bell will tell."""
        now = self._clock()
        if self._sweep_at and now >= self._sweep_at:
            self._sweep(now)
            self._sweep_at = 0.0
        for id in self._store.finished_before(now - self._lifetime):
            self._files.remove(id)
            self._store.remove(id)
        if self._store.webhooks_due(now):
            self._webhooks.wake()
        job = self._store.begin_next(now)
        if job is None:
            return self._until_next(now)
        logs.request_id.set(job.id)
        runner.run(
            job,
            self._store,
            self._files,
            self._services.speech,
            allowance=self._services.access.allowance,
            attempts=self._settings.job_attempts,
            time_limit_seconds=self._settings.job_time_limit_minutes * 60,
            wanted=self._goes_on,
            clock=self._clock,
        )
        logs.request_id.set("-")
        memory.give_back()  # what it left in this process's heap: under a queue, no engine becomes idle and has it done
        return 0.0

    def _until_next(self, now: float) -> float | None:
        due, end = self._store.next_due(), self._store.next_end()
        times = [self._sweep_at] if self._sweep_at else []
        times += [due] if due is not None else []
        times += [end + self._lifetime] if end is not None else []
        return max(0.0, min(times) - now) + 0.001 if times else None

    def _sweep(self, now: float) -> None:
        """Remove the directories of jobs that nobody has heard of."""
        with os.scandir(self._files.directory) as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    old = now - entry.stat().st_ctime > ORPHAN_SECONDS
                    if entry.is_dir() and old and not self._store.has(entry.name):
                        log.info("jobs: %s belongs to no job; removed", entry.name)
                        self._files.remove(entry.name)
