"""Where jobs stand: every change once, whoever makes it, and there after the process has gone."""

from app.jobs.store_sqlite import open_store


def test_the_one_that_came_first_is_begun_first_and_only_once(store, accept):
    first, second = accept(), accept()
    assert [store.claim_next(1.0, "w").id for _ in range(2)] == [first.id, second.id]
    assert store.claim_next(1.0, "w") is None
    assert store.claim(first.id, 1.0, "w") is None


def test_what_is_not_due_is_not_begun_and_holds_up_nobody(store, accept):
    first, second = accept(), accept()
    store.put_back(store.claim_next(1.0, "w"), due_at=50.0)
    assert store.next_due() == 0.0
    assert store.claim_next(1.0, "w").id == second.id
    assert store.next_due() == 50.0
    assert store.claim(first.id, 49.0, "w") is None
    assert store.claim_next(50.0, "w").id == first.id


def test_jobs_whose_time_is_over_are_found(store, accept):
    job = accept()
    accept()
    store.cancel(job.id, 100.0)
    assert store.next_end() == 100.0
    assert store.finished_before(100.0) == []
    assert store.finished_before(101.0) == [job.id]
    store.remove(job.id)
    assert store.get(job.id) is None
    assert store.next_end() is None


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
