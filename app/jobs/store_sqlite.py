"""
The store of jobs in one SQLite file, for all web workers of one machine.

Beside it every job has a copy, `ID/job.json`, from which the jobs come back should the database break.
"""
# ruff: noqa: S608 (statements are put together from this file's own texts; values are bound)

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InsufficientStorage
from ..files import atomic_write
from . import STATES
from .job import (
    QUEUED,
    RECORD_BYTES,
    RUNNING,
    SEGMENTS_READ,
    STORED_NAMES,
    THROUGHPUT_JOBS,
    WEBHOOKS_READ,
    Counts,
    Job,
    Store,
    Throughput,
    from_record,
    require_room,
    to_record,
)

log = logging.getLogger(__name__)

DATABASE, BROKEN, COPY = "jobs.sqlite3", ".broken-", "job.json"
CACHE_KB = 64  # of pages in memory, where SQLite's default is 2 MB
BUSY_SECONDS = 5.0  # how long a change of another process is waited for

SCHEMA = 1  # of the database, in its user_version (0 in all releases before); a newer one is not touched
JSON_COLUMNS = ("asked", "resume", "result", "error", "extra")
# The text is last: to read what is stored after a long one, SQLite goes through all its pages.
COLUMNS = (*(name for name in STORED_NAMES if name != "text"), "text")
TABLE = f"""
CREATE TABLE IF NOT EXISTS jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(COLUMNS)});
CREATE UNIQUE INDEX IF NOT EXISTS job_ids ON jobs (id);
CREATE UNIQUE INDEX IF NOT EXISTS job_keys ON jobs (owner, idempotency_key) WHERE idempotency_key != '';
CREATE INDEX IF NOT EXISTS job_states ON jobs (state, number, due_at, created_at, size_bytes, result_bytes);
CREATE INDEX IF NOT EXISTS job_owners ON jobs (owner, number);
CREATE INDEX IF NOT EXISTS job_ends ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_webhooks ON jobs (webhook_due_at) WHERE webhook_state = 'pending';
CREATE TABLE IF NOT EXISTS segments (number INTEGER PRIMARY KEY, job TEXT, line BLOB);
CREATE INDEX IF NOT EXISTS job_segments ON segments (job, number);
PRAGMA user_version = {SCHEMA};
"""
STORED_BYTES = f"""
SELECT coalesce(sum(result_bytes + {RECORD_BYTES} + CASE state WHEN 'succeeded' THEN 0 ELSE size_bytes END), 0)
FROM jobs
"""


class SqliteStore(Store):
    """
    A Store in the file *path*. One per web worker: one connection, which its threads use one at a time.

    What is committed survives a killed process, since the system has it; after a power cut the last changes may
    be missing, new jobs are there (synchronous=FULL), and the file is whole (WAL with synchronous=NORMAL).
    *restore*: take up the jobs of the copies.
    """

    def __init__(self, path: Path, *, restore: bool = False) -> None:
        self._directory = path.parent
        self._lock = threading.RLock()
        self._connection = connect(path)
        if restore and (count := self._restore()):
            log.warning("jobs: %d were brought back from the copies beside their files", count)

    def add(self, job: Job, limit_bytes: int) -> Job:
        try:
            with self._transaction(durable=True) as db:
                if earlier := self.find(job.owner, job.idempotency_key):
                    return earlier
                require_room(db.execute(STORED_BYTES).fetchone()[0], job.file_bytes, limit_bytes)
                self._write_copy(job)
                self._insert(job)
        except OSError as error:
            raise InsufficientStorage(f"the job can't be saved: {error}") from None
        return job

    def find(self, owner: str, idempotency_key: str) -> Job | None:
        where = "owner = ? AND idempotency_key = ? AND idempotency_key != ''"
        return self._first(where, owner, idempotency_key) if idempotency_key else None

    def get(self, id: str) -> Job | None:
        return self._first("id = ?", id)

    def page(self, owner: str, *, state: str, before: str, limit: int) -> list[Job]:
        where, values = "owner = ?", [owner]
        if state:
            where, values = f"{where} AND state = ?", [*values, state]
        if before:
            where, values = f"{where} AND number < (SELECT number FROM jobs WHERE id = ?)", [*values, before]
        return self._jobs(f"{where} ORDER BY number DESC LIMIT {limit:d}", *values, columns=COLUMNS[:-1])

    def ahead(self, job: Job) -> int:
        query = """SELECT count(*) FROM jobs WHERE state = 'running' AND id != ?1
                    OR state = 'queued' AND number < (SELECT number FROM jobs WHERE id = ?1)"""
        return int(self._value(query, job.id))

    def throughput(self, kind: str) -> Throughput | None:
        query = f"""SELECT count(*), sum(seconds), sum(size_bytes) FROM (
                      SELECT finished_at - started_at AS seconds, size_bytes FROM jobs INDEXED BY job_ends
                      WHERE state = 'succeeded' AND kind = ? AND finished_at IS NOT NULL
                      ORDER BY finished_at DESC LIMIT {THROUGHPUT_JOBS})"""
        ((count, seconds, size),) = self._rows(query, kind)
        return Throughput(seconds / count, seconds / max(1, size)) if count else None

    def change(self, id: str, edit: Callable[[Job], bool], segments: Sequence[bytes] = ()) -> Job | None:
        with self._transaction() as db:
            job = self._first("id = ?", id)
            if job is None:
                return None
            before, state = to_record(job), job.state
            if not edit(job):
                return None
            changed = {name: value for name, value in to_record(job).items() if value != before[name]}
            if changed:
                columns = to_columns(changed)
                changes = ", ".join(f"{name} = ?" for name in columns)
                db.execute(f"UPDATE jobs SET {changes} WHERE id = ?", [*columns.values(), id])
            db.executemany(
                "INSERT INTO segments (job, line) VALUES (?, ?)", [(id, line) for line in segments]
            )
            if not job.resume and before["resume"]:
                db.execute("DELETE FROM segments WHERE job = ?", (id,))
            if job.state not in (state, RUNNING) or "webhook_state" in changed:  # progress needs no copy
                try:
                    self._write_copy(job)
                except OSError as error:  # it matters only should the database break, too
                    log.warning("job=%s could not be copied: %s", id, error.strerror)
        return job

    def some_segments(self, id: str, first: int) -> list[bytes]:
        query = f"SELECT line FROM segments WHERE job = ? ORDER BY number LIMIT {SEGMENTS_READ} OFFSET ?"
        return [line for (line,) in self._rows(query, id, first)]

    def claim_next(self, now: float, worker: str) -> Job | None:
        """Claim the job that waits longest; None when none is due. For the one process that runs jobs."""
        query = "SELECT id FROM jobs WHERE state = 'queued' AND due_at <= ? ORDER BY number LIMIT 1"
        id = self._value(query, now)
        return None if id is None else self.claim(id, now, worker)

    def remove(self, id: str) -> None:
        (self._directory / id / COPY).unlink(missing_ok=True)
        with self._transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (id,))
            db.execute("DELETE FROM segments WHERE job = ?", (id,))

    def finished_before(self, when: float) -> list[str]:
        query = "SELECT id FROM jobs WHERE finished_at IS NOT NULL AND finished_at < ? LIMIT 100"
        return [id for (id,) in self._rows(query, when)]

    def next_due(self, lifetime: float) -> float | None:
        """When the first queued job may be claimed, or the first of the finished ones ended *lifetime* seconds ago."""
        query = """SELECT min(moment) FROM (SELECT min(due_at) AS moment FROM jobs WHERE state = 'queued' UNION ALL
                    SELECT min(finished_at) + ? FROM jobs WHERE finished_at IS NOT NULL)"""
        return self._moment(query, lifetime)

    def abandoned(self) -> list[Job]:
        """Jobs that are running; for the one process that runs jobs, before it claims any: their worker is dead."""
        return self._jobs("state = 'running'")

    def webhooks_due(self, now: float) -> list[Job]:
        due = "webhook_state = 'pending' AND webhook_due_at <= ?"
        return self._jobs(f"{due} ORDER BY webhook_due_at LIMIT {WEBHOOKS_READ}", now)

    def next_webhook_at(self) -> float | None:
        return self._moment("SELECT min(webhook_due_at) FROM jobs WHERE webhook_state = 'pending'")

    def counts(self, now: float) -> Counts:
        by_state = dict.fromkeys(STATES, 0) | dict(
            self._rows("SELECT state, count(*) FROM jobs GROUP BY state")
        )
        oldest = self._value("SELECT coalesce(min(created_at), ?) FROM jobs WHERE state = 'queued'", now)
        progress = self._value("SELECT coalesce(min(progress_at), ?) FROM jobs WHERE state = 'running'", now)
        return Counts(
            by_state=by_state,
            oldest_waiting_seconds=max(0.0, now - oldest),
            stored_bytes=self._value(STORED_BYTES),
            oldest_progress_seconds=max(0.0, now - progress),
        )

    def has(self, id: str) -> bool:
        """Whether there is a job with this id."""
        return self._value("SELECT 1 FROM jobs WHERE id = ?", id) is not None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _restore(self) -> int:
        """Take up the jobs of the copies, oldest first; how many there were. What can't be read is left out."""
        found: list[Job] = []
        for path in self._directory.glob(f"*/{COPY}"):
            try:
                found.append(from_record(json.loads(path.read_bytes())))
            except (OSError, ValueError, TypeError, AttributeError) as error:
                log.warning("jobs: %s can't be read: %s", path.parent.name, error)
        with self._transaction():
            for job in sorted(found, key=lambda one: one.created_at):
                if job.state == RUNNING:
                    job.state = QUEUED
                job.resume = {}  # its segments were in the database
                self._insert(job)
        return len(found)

    def _insert(self, job: Job) -> None:
        columns = to_columns(to_record(job))
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self._connection.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", [*columns.values()])

    def _write_copy(self, job: Job) -> None:
        path = self._directory / job.id / COPY
        path.parent.mkdir(exist_ok=True, mode=0o700)
        with atomic_write(path) as file:
            file.write(json.dumps(to_record(job)).encode())

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """
        One transaction, which other threads and processes wait for; a *durable* one survives a power cut.

        InsufficientStorage: the disk takes nothing.
        """
        with self._lock:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise InsufficientStorage(f"the job can't be saved: {error}") from None
                raise

    def _first(self, where: str, *values: object) -> Job | None:
        return next(iter(self._jobs(where, *values)), None)

    def _jobs(self, where: str, *values: object, columns: tuple[str, ...] = COLUMNS) -> list[Job]:
        rows = self._rows(f"SELECT {', '.join(columns)} FROM jobs WHERE {where}", *values)
        records = [dict(zip(columns, row, strict=True)) for row in rows]
        return [from_record(one | {name: json.loads(one[name]) for name in JSON_COLUMNS}) for one in records]

    def _moment(self, query: str, *values: object) -> float | None:
        found: float | None = self._value(query, *values)
        return found

    def _value(self, query: str, *values: object) -> Any:
        return next((row[0] for row in self._rows(query, *values)), None)

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()


def open_store(directory: Path) -> SqliteStore:
    """
    The database in *directory*. A broken one is set aside, and a new one begun with the jobs of the copies.

    One process at a time, so that no two of them set it aside.
    """
    path = directory / DATABASE
    guard = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        new = not path.exists() or not path.stat().st_size
        try:
            return SqliteStore(path, restore=new)
        except sqlite3.OperationalError:
            raise  # it can't be opened, which says nothing about what is in it
        except sqlite3.DatabaseError as error:
            aside = set_aside(path)
            log.error("jobs: %s is broken (%s); kept as %s, a new one is begun", path, error, aside)
            return SqliteStore(path, restore=True)
    finally:
        os.close(guard)


def set_aside(path: Path) -> Path:
    """Rename a broken database, and the files that belong to it, beside the directory of jobs; the new name."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.parent.parent / f"{path.name}{BROKEN}{stamp}"
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    return aside


def connect(path: Path) -> sqlite3.Connection:
    """
    The database in *path*, made when there is none, brought forward when an older release made it.

    sqlite3.DatabaseError when it is broken, InsufficientStorage when a newer release made it.
    """
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise InsufficientStorage(
                f"the jobs in {path} were kept by a newer release (schema {version}, this one knows {SCHEMA}); "
                "install that release again, or set DATA_DIR to another directory"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        there = {name for _, name, *_ in connection.execute("PRAGMA table_info(jobs)")}
        if there and version < SCHEMA:
            upgrade(connection, there)
        connection.executescript(TABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def upgrade(connection: sqlite3.Connection, there: set[str]) -> None:
    """
    Rewrite the table of an older version, which has the columns *there*, with all columns in today's order.

    Columns can't be added before the text, and `ALTER TABLE` would read a long text for each of them.
    """
    new = dict.fromkeys(COLUMNS, "NULL") | {"worker": "''", "resume": "'{}'"}
    values = ", ".join(name if name in there else new[name] for name in ("number", *COLUMNS))
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ALTER TABLE jobs RENAME TO jobs_before")
    connection.execute(TABLE.partition(";")[0])
    connection.execute(f"INSERT INTO jobs (number, {', '.join(COLUMNS)}) SELECT {values} FROM jobs_before")
    connection.execute("DROP TABLE jobs_before")
    connection.execute("COMMIT")


def to_columns(record: dict[str, Any]) -> dict[str, object]:
    """*record* as SQLite takes it."""
    return {
        name: json.dumps(value, separators=(",", ":")) if name in JSON_COLUMNS else value
        for name, value in record.items()
    }
