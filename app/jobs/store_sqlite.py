"""Where jobs stand, in one SQLite file: for all web workers of one machine."""
# ruff: noqa: S608 (statements are put together from this file's own texts; values are bound)

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InsufficientStorage
from . import STATES
from .job import CANCELLED, QUEUED, RUNNING, Counts, Job, Pace
from .schema import NAMES, STORED, connect, job_of, values_of
from .snapshots import Snapshots

log = logging.getLogger(__name__)

ROW_BYTES = 4096  # a job counts with so much beside its files
PACE_JOBS = 20

TAKEN = f"""
SELECT coalesce(sum(result_bytes + {ROW_BYTES} + CASE state WHEN 'succeeded' THEN 0 ELSE size_bytes END), 0)
FROM jobs
"""
AS_ENDED = """
finished_at = :now, webhook_state = CASE webhook_url WHEN '' THEN '' ELSE 'pending' END,
webhook_due_at = CASE webhook_url WHEN '' THEN NULL ELSE :now END
"""


class SqliteStore:
    """
    A Store in the file *path*. One per worker: one connection, shared by its threads one at a time.

    What is committed survives a killed process, since the system has it; after a power cut the last commits may
    be missing, and the file is whole (WAL with synchronous=NORMAL). *snapshots* has a copy of every job beside it.
    """

    def __init__(self, path: Path, snapshots: Snapshots, *, restore: bool = False) -> None:
        self._snapshots = snapshots
        self._lock = threading.Lock()
        self._connection = connect(path)
        if restore and (count := self._restore()):
            log.warning("jobs: %d were brought back from the copies beside their files", count)

    def add(self, job: Job, limit_bytes: int) -> Job:
        """Keep *job*, or give back the one its idempotency key stands for."""
        try:
            with self._changing() as db:
                if job.idempotency_key and (there := self._find(job.owner, job.idempotency_key)):
                    return there
                (taken,) = db.execute(TAKEN).fetchone()
                if taken + job.size_bytes + ROW_BYTES > limit_bytes:
                    raise InsufficientStorage(
                        f"jobs take {taken >> 20} of {limit_bytes >> 20} MB (JOB_DISK_MB); remove jobs that are "
                        "finished (DELETE), or try again when their time is over (JOB_TTL_HOURS)"
                    )
                self._snapshots.write(job)
                self._insert(job)
        except (sqlite3.OperationalError, OSError) as error:
            raise InsufficientStorage(f"the job can't be saved: {error}") from None
        return job

    def find(self, owner: str, idempotency_key: str) -> Job | None:
        """The job *owner* made with that key."""
        with self._lock:
            return self._find(owner, idempotency_key)

    def get(self, id: str) -> Job | None:
        """The job, if it is there."""
        with self._lock:
            return next(self._jobs("id = ?", id), None)

    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        """Jobs of *owner*, newest first, without their texts."""
        which, values = "owner = ?", [owner]
        if state:
            which, values = f"{which} AND state = ?", [*values, state]
        if before:
            which, values = f"{which} AND number < (SELECT number FROM jobs WHERE id = ?)", [*values, before]
        with self._lock:
            return list(
                self._jobs(f"{which} ORDER BY number DESC LIMIT {limit:d}", *values, names=STORED[:-1])
            )

    def ahead(self, job: Job) -> int:
        """How many running and queued jobs come before it."""
        query = """SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')
                    AND number < (SELECT number FROM jobs WHERE id = ?)"""
        with self._lock:
            (count,) = self._connection.execute(query, (job.id,)).fetchone()
        return int(count)

    def pace(self, kind: str) -> Pace | None:
        """How long the last of *kind* took."""
        query = f"""SELECT count(*), sum(seconds), sum(size_bytes) FROM (
                      SELECT finished_at - started_at AS seconds, size_bytes FROM jobs INDEXED BY job_ends
                      WHERE state = 'succeeded' AND kind = ? AND finished_at IS NOT NULL
                      ORDER BY finished_at DESC LIMIT {PACE_JOBS})"""
        with self._lock:
            count, seconds, size = self._connection.execute(query, (kind,)).fetchone()
        return Pace(seconds / count, seconds / max(1, size)) if count else None

    def begin(self, id: str, now: float) -> Job | None:
        """Queued becomes running."""
        with self._changing() as db:
            which = "id = ? AND state = 'queued' AND due_at <= ?"
            return self._begin(db, next(self._jobs(which, id, now), None), now)

    def begin_next(self, now: float) -> Job | None:
        """The same for the one that waits longest; None when none is due."""
        with self._changing() as db:
            which = "state = 'queued' AND due_at <= ? ORDER BY number LIMIT 1"
            return self._begin(db, next(self._jobs(which, now), None), now)

    def _begin(self, db: sqlite3.Connection, job: Job | None, now: float) -> Job | None:
        if job is not None:
            job.state, job.started_at, job.attempt = RUNNING, now, job.attempt + 1
            job.seconds_done, job.text = 0.0, ""
            query = "UPDATE jobs SET state = ?, started_at = ?, attempt = ?, seconds_done = 0, text = '' WHERE id = ?"
            db.execute(query, (job.state, now, job.attempt, job.id))
        return job

    def progress(self, job: Job) -> bool:
        """Note how far it is."""
        return self._change_attempt(job, "seconds_done = :seconds_done, text = :text")

    def finish(self, job: Job, state: str, now: float, error: dict[str, Any] | None = None) -> bool:
        """The end of *job*'s attempt."""
        job.error = error
        values = "seconds_done = :seconds_done, text = :text, result = :result, result_bytes = :result_bytes"
        return self._change_attempt(
            job,
            f"state = :new, error = :error, failures = :failures, {values}, {AS_ENDED}",
            new=state,
            now=now,
        )

    def put_back(self, job: Job, due_at: float) -> bool:
        """Running becomes queued."""
        changes = "state = :new, due_at = :due_at, failures = :failures, seconds_done = 0, text = ''"
        job.due_at = due_at
        return self._change_attempt(job, changes, new=QUEUED)

    def requeue(self, id: str) -> bool:
        """Failed or cancelled becomes queued."""
        changes = """state = :new, due_at = 0, failures = 0, seconds_done = 0, text = '', error = 'null',
                     finished_at = NULL, webhook_state = '', webhook_attempts = 0, webhook_due_at = NULL"""
        return self._change(id, "state IN ('failed', 'cancelled')", changes, new=QUEUED)

    def cancel(self, id: str, now: float) -> bool:
        """Queued or running becomes cancelled."""
        changes = f"state = :new, {AS_ENDED}"
        return self._change(id, "state IN ('queued', 'running')", changes, new=CANCELLED, now=now)

    def remove(self, id: str) -> None:
        """Forget it."""
        self._snapshots.remove(id)
        with self._changing() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (id,))

    def finished_before(self, when: float) -> list[str]:
        """Jobs whose time is over."""
        query = "SELECT id FROM jobs WHERE finished_at IS NOT NULL AND finished_at < ? LIMIT 100"
        with self._lock:
            return [id for (id,) in self._connection.execute(query, (when,))]

    def next_end(self) -> float | None:
        """When the first of the jobs that have ended did."""
        with self._lock:
            query = "SELECT min(finished_at) FROM jobs WHERE finished_at IS NOT NULL"
            found: float | None = self._connection.execute(query).fetchone()[0]
        return found

    def next_due(self) -> float | None:
        """When the first of the queued jobs may begin."""
        with self._lock:
            query = "SELECT min(due_at) FROM jobs WHERE state = 'queued'"
            found: float | None = self._connection.execute(query).fetchone()[0]
        return found

    def abandoned(self) -> list[Job]:
        """Jobs that are running; for the one process that runs them, before it runs any: their runner is dead."""
        with self._lock:
            return list(self._jobs("state = 'running'"))

    def webhooks_due(self, now: float) -> list[Job]:
        """What is to be told by now."""
        # Few at a time: each comes with its text.
        which = "webhook_state = 'pending' AND webhook_due_at <= ? ORDER BY webhook_due_at LIMIT 8"
        with self._lock:
            return list(self._jobs(which, now))

    def webhook_begin(self, job: Job, due_at: float) -> bool:
        """Claim a try."""
        return self._change(
            job.id,
            "webhook_state = 'pending' AND webhook_attempts = :tried",
            "webhook_attempts = webhook_attempts + 1, webhook_due_at = :due_at",
            tried=job.webhook_attempts,
            due_at=due_at,
        )

    def webhook_ended(self, job: Job, state: str) -> None:
        """No more tries."""
        self._change(job.id, "1", "webhook_state = :new, webhook_due_at = NULL", new=state)

    def counts(self, now: float) -> Counts:
        """How much there is to do."""
        with self._lock:
            by_state = dict(
                self._connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
            )
            (oldest,) = self._connection.execute(
                "SELECT min(created_at) FROM jobs WHERE state = 'queued'"
            ).fetchone()
            (taken,) = self._connection.execute(TAKEN).fetchone()
        return Counts(
            queued=by_state.get(QUEUED, 0),
            running=by_state.get(RUNNING, 0),
            oldest_waiting_seconds=max(0.0, now - oldest) if oldest is not None else 0.0,
            stored_bytes=taken,
            by_state={state: by_state.get(state, 0) for state in STATES},
        )

    def has(self, id: str) -> bool:
        """Whether there is a job of that name."""
        with self._lock:
            return self._connection.execute("SELECT 1 FROM jobs WHERE id = ?", (id,)).fetchone() is not None

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _restore(self) -> int:
        """Take up what the snapshots know and a broken database forgot; how many jobs that were."""
        count = 0
        with self._changing():
            for job in self._snapshots.read_all():
                self._insert(job)
                count += 1
        return count

    def _insert(self, job: Job) -> None:
        marks = ", ".join("?" * len(STORED))
        query = f"INSERT INTO jobs ({', '.join(STORED)}) VALUES ({marks})"
        self._connection.execute(query, values_of(job, STORED))

    def _change_attempt(self, job: Job, changes: str, **values: object) -> bool:
        return self._change(
            job.id,
            "attempt = :attempt AND state = 'running'",
            changes,
            **dict(zip(NAMES, values_of(job, NAMES), strict=True)),
            **values,
        )

    def _change(self, job_id: str, which: str, changes: str, **values: object) -> bool:
        """Make *changes* to the job where it is as *which* says; whether it was."""
        with self._changing() as db:
            query = f"UPDATE jobs SET {changes} WHERE id = :job_id AND {which}"
            changed = db.execute(query, {**values, "job_id": job_id}).rowcount == 1
            if changed and "new" in values:  # how far it is need not be known twice
                self._copy(job_id)
        return changed

    def _copy(self, job_id: str) -> None:
        for job in self._jobs("id = ?", job_id):
            try:
                self._snapshots.write(job)
            except OSError as error:  # it is needed only should the database break, too
                log.warning("job=%s could not be copied: %s", job_id, error.strerror)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which other threads and workers wait for."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _find(self, owner: str, idempotency_key: str) -> Job | None:
        which = "owner = ? AND idempotency_key = ? AND idempotency_key != ''"
        return next(self._jobs(which, owner, idempotency_key), None)

    def _jobs(self, which: str, *values: object, names: tuple[str, ...] = STORED) -> Iterator[Job]:
        for row in self._connection.execute(f"SELECT {', '.join(names)} FROM jobs WHERE {which}", values):
            yield job_of(dict(zip(names, row, strict=True)))
