"""Where jobs stand: every change once, whoever makes it, and there after the process has gone."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from app.errors import InsufficientStorage
from app.jobs.store_sqlite import DATABASE, SCHEMA, open_store

BEFORE = json.loads(Path(__file__).with_name("schema_0.json").read_text())


def test_the_one_that_came_first_is_begun_first_and_only_once(store, accept):
    first, second = accept(), accept()
    assert [store.claim_next(1.0, "w").id for _ in range(2)] == [first.id, second.id]
    assert store.claim_next(1.0, "w") is None
    assert store.claim(first.id, 1.0, "w") is None


def test_what_is_not_due_is_not_begun_and_holds_up_nobody(store, accept):
    first, second = accept(), accept()
    store.put_back(store.claim_next(1.0, "w"), due_at=50.0)
    assert store.next_due(1.0) == 0.0
    assert store.claim_next(1.0, "w").id == second.id
    assert store.next_due(1.0) == 50.0
    assert store.claim(first.id, 49.0, "w") is None
    assert store.claim_next(50.0, "w").id == first.id


def test_jobs_whose_time_is_over_are_found(store, accept):
    job, later = accept(), accept()
    store.put_back(store.claim(later.id, 1.0, "w"), 900.0)
    store.cancel(job.id, 100.0)
    assert store.next_due(20.0) == 120.0
    assert store.finished_before(100.0) == []
    assert store.finished_before(101.0) == [job.id]
    store.remove(job.id)
    assert store.get(job.id) is None
    assert store.next_due(20.0) == 900.0
    store.cancel(later.id, 800.0)
    store.remove(later.id)
    assert store.next_due(20.0) is None


def test_another_process_sees_every_change_at_once(store, accept, directory):
    other = open_store(directory)
    job = accept()
    assert other.claim_next(1.0, "w").id == job.id
    assert store.claim_next(1.0, "w") is None
    other.close()


def test_nobody_else_may_read_it(store, accept, directory):
    job = accept()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / job.id).stat().st_mode & 0o777 == 0o700
    kept = [path for path in directory.rglob("*") if path.is_file()]
    assert {path.name for path in kept} >= {"jobs.sqlite3", "jobs.sqlite3-wal", "job.json", "recording"}
    assert [oct(path.stat().st_mode & 0o777) for path in kept if path.stat().st_mode & 0o077] == []


def test_the_database_of_the_release_before_is_brought_forward_once(directory):
    """schema_0.json was written by its own code: a job of each state, one of them half done."""
    directory.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(directory / DATABASE)) as old:
        old.executescript("\n".join(BEFORE["sqlite"]))
        assert old.execute("PRAGMA user_version").fetchone() == (0,)
    for _ in range(2):
        store = open_store(directory)
        found = {job.id: job for job in store.page("me", state="", before="", limit=9)}
        assert {id: job.state for id, job in found.items()} == BEFORE["states"]
        assert (store.get("running").text, store.get("running").resume) == ("half of it", {})
        assert store.get("succeeded").text == "Grüße"
        store.close()
    store = open_store(directory)
    held = store.get("running")
    held.resume = {"seconds": 1.0}
    assert store.progress(held, [b"line\n"])
    assert store.put_back(held, 0.0)
    assert [*store.segments("running")] == [b"line\n"]
    store.close()
    with contextlib.closing(sqlite3.connect(directory / DATABASE)) as new:
        assert new.execute("PRAGMA user_version").fetchone() == (SCHEMA,)


def test_the_database_of_a_newer_release_is_refused_and_left_alone(store, accept, directory):
    accept()
    store.close()
    with contextlib.closing(sqlite3.connect(directory / DATABASE)) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    before = (directory / DATABASE).read_bytes()
    with pytest.raises(
        InsufficientStorage, match=f"newer release .schema {SCHEMA + 1}, this one knows {SCHEMA}"
    ):
        open_store(directory)
    assert (directory / DATABASE).read_bytes() == before
    assert [path.name for path in directory.parent.iterdir()] == ["jobs"]
