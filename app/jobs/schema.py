"""The table of jobs in SQLite, and how a job is written into it and read from it."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from pathlib import Path
from typing import Any

from .job import Job

CACHE_KB = 64  # of pages in memory, where SQLite's default is 2 MB
BUSY_SECONDS = 5.0  # how long another worker's change is waited for
NAMES = tuple(field.name for field in dataclasses.fields(Job))
JSON_NAMES = ("asked", "result", "error", "extra")
# The text is last: what comes after a long one is read through all its pages.
STORED = (*(name for name in NAMES if name != "text"), "text")
TABLE = f"""
CREATE TABLE IF NOT EXISTS jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(STORED)});
CREATE UNIQUE INDEX IF NOT EXISTS job_ids ON jobs (id);
CREATE UNIQUE INDEX IF NOT EXISTS job_keys ON jobs (owner, idempotency_key) WHERE idempotency_key != '';
CREATE INDEX IF NOT EXISTS job_states ON jobs (state, number, due_at, created_at, size_bytes, result_bytes);
CREATE INDEX IF NOT EXISTS job_owners ON jobs (owner, number);
CREATE INDEX IF NOT EXISTS job_ends ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_webhooks ON jobs (webhook_due_at) WHERE webhook_state = 'pending';
"""


def connect(path: Path) -> sqlite3.Connection:
    """The database in *path*, made when there is none; sqlite3.DatabaseError when it is broken."""
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        connection.executescript(TABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def values_of(job: Job, names: tuple[str, ...]) -> list[object]:
    """The columns *names* of *job*."""
    return [
        json.dumps(value, separators=(",", ":")) if name in JSON_NAMES else value
        for name in names
        for value in [getattr(job, name)]
    ]


def job_of(columns: dict[str, Any]) -> Job:
    """The job with these *columns*, which may be without its text."""
    return Job(**{**columns, **{name: json.loads(columns[name]) for name in JSON_NAMES}})
