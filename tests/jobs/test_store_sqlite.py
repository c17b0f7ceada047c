"""Where jobs stand: every change once, whoever makes it, and there after the process has gone."""

import math
import os
import threading

import pytest

from app.errors import InsufficientStorage
from app.jobs.job import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED, Job
from app.jobs.local_worker import open_store


def test_a_job_comes_back_as_it_was_given(store, accept):
    job = accept(
        asked={"language": "en", "prompt": "Grüße"}, owner="k", extra={"url": "https://x/1"}, created_at=5.0
    )
    assert store.get(job.id) == job
    assert store.get("unknown") is None


def test_the_one_that_came_first_is_begun_first_and_only_once(store, accept):
    first, second = accept(), accept()
    assert [store.begin_next(1.0).id for _ in range(2)] == [first.id, second.id]
    assert store.begin_next(1.0) is None
    assert store.begin(first.id, 1.0) is None


def test_what_is_not_due_is_not_begun_and_holds_up_nobody(store, accept):
    first, second = accept(), accept()
    store.put_back(store.begin_next(1.0), due_at=50.0)
    assert store.next_due() == 0.0
    assert store.begin_next(1.0).id == second.id
    assert store.next_due() == 50.0
    assert store.begin(first.id, 49.0) is None
    assert store.begin_next(50.0).id == first.id


def test_a_job_ends_once_whoever_says_so(store, accept):
    accept()
    lost = store.begin_next(1.0)
    store.put_back(lost, due_at=0.0)
    current = store.begin_next(2.0)
    assert not store.progress(lost)
    assert not store.finish(lost, FAILED, 3.0)
    assert not store.put_back(lost, 0.0)
    assert store.finish(current, SUCCEEDED, 4.0)
    assert not store.finish(current, FAILED, 5.0)
    assert store.get(current.id).state == SUCCEEDED
    assert store.get(current.id).attempt == 2


def test_the_end_keeps_what_came_of_it(store, accept):
    accept()
    job = store.begin_next(1.0)
    job.text, job.seconds_done, job.result, job.result_bytes = "said", 11.0, {"language": "en"}, 77
    store.finish(job, SUCCEEDED, 9.0)
    kept = store.get(job.id)
    assert (kept.text, kept.seconds_done, kept.result, kept.result_bytes) == (
        "said",
        11.0,
        {"language": "en"},
        77,
    )
    assert (kept.finished_at, kept.error) == (9.0, None)


@pytest.mark.parametrize("running", [False, True])
def test_a_job_can_be_cancelled_until_it_has_ended(store, accept, running):
    job = accept()
    if running:
        job = store.begin_next(1.0)
    assert store.cancel(job.id, 2.0)
    assert store.get(job.id).state == CANCELLED
    assert not store.cancel(job.id, 3.0)
    assert not store.progress(job)
    assert not store.finish(job, SUCCEEDED, 3.0)


def test_what_failed_or_was_cancelled_can_be_queued_again_and_nothing_else(store, accept):
    accept()
    job = store.begin_next(1.0)
    assert not store.requeue(job.id)
    job.failures = 3
    store.finish(job, FAILED, 2.0, {"message": "no", "code": "x", "param": None})
    assert store.get(job.id).error["message"] == "no"
    assert store.requeue(job.id)
    again = store.get(job.id)
    assert (again.state, again.failures, again.error, again.finished_at) == (QUEUED, 0, None, None)
    assert not store.requeue(job.id)


def test_the_same_key_is_the_same_job_for_its_owner(store, accept):
    first = accept(owner="a", idempotency_key="k")
    assert accept(owner="a", idempotency_key="k").id == first.id
    assert accept(owner="b", idempotency_key="k").id != first.id
    assert accept(owner="a").id != accept(owner="a").id
    assert store.find("a", "k").id == first.id
    assert store.find("a", "") is None


def test_the_same_key_at_once_is_one_job(store, accept):
    found, start = [], threading.Barrier(8)

    def submit():
        start.wait()
        found.append(store.add(Job(os.urandom(16).hex(), "speak", {}, idempotency_key="k"), 1 << 30).id)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_past_the_limit_nothing_more_is_taken(store, accept):
    accept(size_bytes=100_000)
    with pytest.raises(InsufficientStorage, match="JOB_DISK_MB"):
        store.add(Job("next", "transcribe", {}, size_bytes=100_000), limit_bytes=200_000)
    assert store.get("next") is None


def test_a_recording_no_longer_counts_once_its_job_has_succeeded(store, accept):
    accept(size_bytes=100_000)
    before = store.counts(0.0).stored_bytes
    job = store.begin_next(1.0)
    job.result_bytes = 500
    store.finish(job, SUCCEEDED, 2.0)
    assert store.counts(3.0).stored_bytes == before - 100_000 + 500


def test_a_page_is_of_one_owner_newest_first(store, accept):
    ids = [accept(owner="a", text="long").id for _ in range(5)]
    accept(owner="b")
    page = store.page("a", state="", before="", limit=3)
    assert [job.id for job in page] == ids[:1:-1]
    assert page[0].text == ""
    assert [job.id for job in store.page("a", state="", before=page[-1].id, limit=3)] == ids[1::-1]
    store.begin_next(1.0)
    assert [job.id for job in store.page("a", state=RUNNING, before="", limit=3)] == ids[:1]


def test_the_queue_is_counted(store, accept):
    first, second = accept(created_at=100.0), accept(created_at=101.0)
    assert store.ahead(second) == 1
    assert store.counts(150.0).oldest_waiting_seconds == 50.0
    store.begin_next(150.0)
    assert store.ahead(second) == 1  # what runs comes before it, too
    assert store.ahead(first) == 0
    counts = store.counts(160.0)
    assert (counts.queued, counts.running, counts.oldest_waiting_seconds) == (1, 1, 59.0)
    assert counts.by_state == {"queued": 1, "running": 1, "succeeded": 0, "failed": 0, "cancelled": 0}


def test_the_pace_is_that_of_the_last_jobs_of_the_kind(store, accept):
    assert store.pace("transcribe") is None
    for seconds in (2.0, 4.0):
        accept(size_bytes=1000)
        store.finish(store.begin_next(10.0), SUCCEEDED, 10.0 + seconds)
    pace = store.pace("transcribe")
    assert (pace.job_seconds, pace.byte_seconds) == (3.0, 0.003)
    assert store.pace("speak") is None


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


def test_a_webhook_is_due_when_its_job_ends_and_claimed_by_one(store, accept):
    job = accept(webhook_url="https://example.com/")
    accept()
    assert store.webhooks_due(math.inf) == []
    store.finish(store.begin_next(1.0), SUCCEEDED, 2.0)
    store.cancel(store.begin_next(1.0).id, 2.0)
    (due,) = store.webhooks_due(2.0)
    assert due.id == job.id
    assert store.webhook_begin(due, due_at=60.0)
    assert not store.webhook_begin(due, due_at=60.0)
    assert store.webhooks_due(59.0) == []
    (due,) = store.webhooks_due(math.inf)
    assert (due.webhook_attempts, due.webhook_due_at) == (1, 60.0)
    store.webhook_ended(due, "delivered")
    assert store.webhooks_due(math.inf) == []
    assert store.get(job.id).webhook_state == "delivered"


def test_another_process_sees_every_change_at_once(store, accept, directory):
    other = open_store(directory)
    job = accept()
    assert other.begin_next(1.0).id == job.id
    assert store.begin_next(1.0) is None
    other.close()


def test_nobody_else_may_read_it(store, accept, directory):
    job = accept()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / job.id).stat().st_mode & 0o777 == 0o700
    kept = [path for path in directory.rglob("*") if path.is_file()]
    assert {path.name for path in kept} >= {"jobs.sqlite3", "jobs.sqlite3-wal", "job.json", "recording"}
    assert [oct(path.stat().st_mode & 0o777) for path in kept if path.stat().st_mode & 0o077] == []
