"""What holds of every store of jobs, the one in SQLite and the one in Redis: the same calls, the same answers."""

import math
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import InsufficientStorage
from app.jobs.job import CANCELLED, FAILED, FINISHED, QUEUED, RUNNING, SUCCEEDED, Job

from .conftest import NEEDS_REDIS

# Before each test, which must not leave a process behind.
pytestmark = pytest.mark.usefixtures("redis_server")
ROOM = 1 << 40
REASON = {"message": "no", "code": "engine_died", "param": None}
HOOK = "https://example.com/"


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=NEEDS_REDIS)])
def store(request):
    return request.getfixturevalue(f"{request.param}_store")


@pytest.fixture
def add(store):
    """Makes jobs, each a second younger than the one before, and keeps them."""
    seconds = iter(range(100, 100_000))

    def add(limit_bytes=ROOM, **fields):
        made = {
            "id": secrets.token_hex(8),
            "kind": "transcribe",
            "params": {},
            "created_at": float(next(seconds)),
        }
        return store.add(Job(**{**made, **fields}), limit_bytes)

    return add


@pytest.fixture
def begun(store, add):
    """A job that is running since 200.0."""

    def begun(**fields):
        return store.claim(add(**fields).id, 200.0, "w")

    return begun


def ids(jobs):
    return [job.id for job in jobs]


def test_a_job_comes_back_as_it_was_given(store, add):
    job = add(
        params={"language": "en", "prompt": "Grüße", "clip": None},
        owner="k",
        extra={"url": "https://x/1", "format": "json"},
        webhook_url=HOOK,
        size_bytes=5,
        text="ümlaut\n",
        idempotency_key="é",
        fingerprint="f",
    )
    assert store.get(job.id) == job
    assert store.get("unknown") is None


@pytest.mark.parametrize("count", [1, 99, 100, 101, 103])
def test_a_page_has_as_many_as_were_asked_for(store, add, count):
    """The route asks for one more than a page has, which tells it that there is another page."""
    made = [add(owner="me").id for _ in range(103)]
    assert ids(store.page("me", state="", before="", limit=count)) == made[::-1][:count]


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_pages_one_after_the_other_have_every_job_once(store, add, limit):
    """Also where several were made at the same time, as those of many clients or machines are."""
    made = [add(owner="me", created_at=float(moment)).id for moment in (1, 1, 1, 2, 3, 3, 3, 3, 4)]
    seen, before = [], ""
    while page := store.page("me", state="", before=before, limit=limit):
        seen += page
        before = page[-1].id
    assert sorted(ids(seen)) == sorted(made)
    moments = [job.created_at for job in seen]
    assert moments == sorted(moments, reverse=True)


def test_a_page_is_of_one_owner_and_without_texts(store, add):
    mine = [add(owner="me", text="long").id for _ in range(5)]
    add(owner="you")
    page = store.page("me", state="", before="", limit=3)
    assert ids(page) == mine[:1:-1]
    assert {job.text for job in page} == {""}
    assert ids(store.page("me", state="", before=mine[2], limit=9)) == mine[1::-1]
    assert store.page("me", state="", before="gone", limit=9) == []


def test_a_page_of_a_state_goes_on_where_the_job_before_has_left_it(store, add):
    mine = [add(owner="me").id for _ in range(5)]
    store.cancel(mine[2], 300.0)
    assert ids(store.page("me", state=CANCELLED, before="", limit=9)) == [mine[2]]
    assert ids(store.page("me", state=QUEUED, before=mine[2], limit=9)) == mine[1::-1]


def test_a_job_without_a_recording_takes_some_of_the_disk_too(store, add):
    """What 4 KB of a row, a copy or a hash are; a million empty jobs are no empty disk."""
    for _ in range(3):
        add()
    assert store.counts(0.0).stored_bytes == 3 * 4096


def test_what_a_job_takes_follows_its_state(store, begun):
    held = begun(size_bytes=100_000)
    assert store.counts(0.0).stored_bytes == 104_096
    held.result_bytes = 500
    store.finish(held, SUCCEEDED, 300.0)
    assert store.counts(0.0).stored_bytes == 4_596  # its recording is dropped
    failed = begun(size_bytes=100_000)
    store.finish(failed, FAILED, 300.0, REASON)
    assert store.counts(0.0).stored_bytes == 4_596 + 104_096  # kept: it may be requeued
    for id in (held.id, failed.id):
        store.remove(id)
    assert store.counts(0.0).stored_bytes == 0


@pytest.mark.parametrize(("limit", "fits"), [(204_096 + 4_095, False), (204_096 + 4_096, True)])
def test_what_does_not_fit_is_refused_in_the_same_words(store, add, limit, fits):
    add(size_bytes=100_000)
    if fits:
        add(limit, size_bytes=100_000)
        return
    with pytest.raises(InsufficientStorage) as refusal:
        add(limit, id="next", size_bytes=100_000)
    assert str(refusal.value) == (
        "jobs take 0.1 of 0 MB (JOB_DISK_MB), and this one needs 0.1 MB; remove jobs that have ended (DELETE), or try "
        "again when their time is over (JOB_TTL_HOURS)"
    )
    assert store.get("next") is None


def test_jobs_that_come_at_once_take_no_more_than_there_is(store, add):
    def fits(_):
        try:
            return add(3 * 104_096, size_bytes=100_000)
        except InsufficientStorage:
            return None

    with ThreadPoolExecutor(12) as pool:
        assert sum(1 for job in pool.map(fits, range(12)) if job) == 3
    assert store.counts(0.0).stored_bytes == 3 * 104_096


def test_the_same_key_is_the_same_job_for_its_owner(store, add):
    first = add(owner="a", idempotency_key="k")
    assert add(owner="a", idempotency_key="k") == first
    assert add(owner="b", idempotency_key="k").id != first.id
    assert add(owner="a").id != add(owner="a").id
    assert store.find("a", "k").id == first.id
    assert store.find("a", "") is None
    store.remove(first.id)
    assert add(owner="a", idempotency_key="k").id != first.id


def test_twenty_posts_at_once_with_one_key_make_one_job(store, add):
    with ThreadPoolExecutor(20) as pool:
        found = {job.id for job in pool.map(lambda _: add(idempotency_key="k"), range(20))}
    assert len(found) == 1
    assert store.counts(0.0).by_state[QUEUED] == 1


def test_only_one_of_many_begins_a_job(store, add):
    job = add()
    with ThreadPoolExecutor(20) as pool:
        held = [one for one in pool.map(lambda _: store.claim(job.id, 200.0, "w"), range(20)) if one]
    assert [(one.state, one.attempt, one.started_at) for one in held] == [(RUNNING, 1, 200.0)]


def test_a_job_ends_once_whoever_says_so(store, begun):
    lost = begun()
    assert store.put_back(lost, 0.0)
    current = store.claim(lost.id, 201.0, "w")
    assert current.attempt == 2
    assert not store.progress(lost)
    assert not store.finish(lost, FAILED, 250.0, REASON)
    assert not store.put_back(lost, 0.0)
    assert store.finish(current, SUCCEEDED, 300.0)
    assert not store.finish(current, FAILED, 301.0, REASON)
    assert not store.cancel(lost.id, 302.0)
    assert not store.requeue(lost.id)
    assert store.claim(lost.id, 303.0, "w") is None
    ended = store.get(lost.id)
    assert (ended.state, ended.finished_at, ended.attempt, ended.error) == (SUCCEEDED, 300.0, 2, None)


def test_progress_is_known_and_so_is_what_came_of_it(store, begun):
    held = begun()
    held.seconds_done, held.text = 3.0, "so far"
    assert store.progress(held)
    assert (store.get(held.id).seconds_done, store.get(held.id).text) == (3.0, "so far")
    held.text, held.result, held.result_bytes, held.failures = "all", {"duration": 4.0}, 10, 1
    store.finish(held, SUCCEEDED, 300.0)
    ended = store.get(held.id)
    assert (ended.text, ended.result, ended.result_bytes, ended.failures) == ("all", {"duration": 4.0}, 10, 1)


def test_a_job_put_back_waits_until_it_is_due_and_begins_from_nothing(store, begun):
    held = begun()
    held.failures, held.seconds_done, held.text = 2, 3.0, "half"
    store.progress(held)
    assert store.put_back(held, 500.0)
    waiting = store.get(held.id)
    assert (waiting.state, waiting.due_at, waiting.failures) == (QUEUED, 500.0, 2)
    assert (waiting.seconds_done, waiting.text) == (0.0, "")
    assert store.claim(held.id, 499.0, "w") is None
    assert store.claim(held.id, 500.0, "w").attempt == 2


def kept_so_far(store, held, lines):
    """*held* after half a minute of it, of which the text and *lines* of its segments are kept."""
    held.seconds_done, held.text = 31.0, "kept and more"
    held.resume = {
        "seconds": 28.5,
        "characters": 4,
        "model": "tiny.en",
        "context": [1, 2],
        "attempt": held.attempt,
    }
    assert store.progress(held, lines)
    return held


def test_a_job_put_back_goes_on_where_its_segments_end(store, begun):
    lines = [f'{{"id": {number}, "text": "Grüße\\n"}}\n'.encode() for number in range(230)]
    held = kept_so_far(store, begun(), lines[:120])
    kept_so_far(store, held, lines[120:])
    assert [*store.segments(held.id)] == lines
    assert store.put_back(held, 0.0)
    waiting = store.get(held.id)
    assert (waiting.seconds_done, waiting.text, waiting.resume) == (28.5, "kept", held.resume)
    again = store.claim(held.id, 300.0, "w")
    assert (again.seconds_done, again.text, again.resume) == (28.5, "kept", held.resume)
    assert [*store.segments(held.id)] == lines
    assert not store.progress(held, [b"late\n"])
    assert [*store.segments(held.id)] == lines


@pytest.mark.parametrize("end", ["finish", "cancel", "requeue", "remove", "anew"])
def test_segments_are_kept_no_longer_than_they_are_needed(store, begun, end):
    held = kept_so_far(store, begun(), [b"1\n", b"2\n"])
    other = kept_so_far(store, begun(), [b"3\n"])
    if end == "finish":
        store.finish(held, SUCCEEDED, 300.0)
    elif end == "anew":
        held.resume = {}
        store.progress(held)
    elif end == "remove":
        store.remove(held.id)
    else:
        store.cancel(held.id, 300.0)
        assert end == "cancel" or store.requeue(held.id)
    assert [*store.segments(held.id)] == []
    assert end == "remove" or store.get(held.id).resume == {}
    assert [*store.segments(other.id)] == [b"3\n"]


def test_attempts_that_got_further_are_not_counted_together(begun, store):
    """A recording of hours may meet any number of restarts, as long as there is more of it after each."""
    held = begun()
    assert [held.count_failure(), held.count_failure()] == [1, 2]
    kept_so_far(store, held, [b"1\n"])
    assert held.count_failure() == 1
    store.put_back(held, 0.0)
    again = store.claim(held.id, 300.0, "w")
    assert again.count_failure() == 2


@pytest.mark.parametrize("running", [False, True])
def test_a_job_can_be_cancelled_until_it_has_ended(store, add, running):
    job = add()
    if running:
        job = store.claim(job.id, 200.0, "w")
    assert store.cancel(job.id, 300.0)
    assert not store.cancel(job.id, 301.0)
    assert store.claim(job.id, 302.0, "w") is None
    assert not store.progress(job)
    assert not store.finish(job, SUCCEEDED, 303.0)
    assert (store.get(job.id).state, store.get(job.id).finished_at) == (CANCELLED, 300.0)


def test_a_requeued_job_is_as_new_but_for_its_name_its_age_and_its_attempt(store, begun):
    held = begun(owner="me", idempotency_key="k", webhook_url=HOOK, size_bytes=9, extra={"url": "u"})
    held.failures, held.text, held.seconds_done = 3, "half", 2.0
    held.result, held.result_bytes = {"duration": 2.0}, 77
    store.finish(held, FAILED, 300.0, REASON)
    (due,) = store.webhooks_due(300.0)
    store.claim_webhook(due, 310.0)
    assert store.requeue(held.id)
    assert not store.requeue(held.id)
    again = store.get(held.id)
    assert again == Job(
        held.id, "transcribe", {}, owner="me", created_at=held.created_at, attempt=1, size_bytes=9,
        idempotency_key="k", webhook_url=HOOK, extra={"url": "u"},
    )  # fmt: skip
    assert store.webhooks_due(math.inf) == []
    assert store.counts(0.0).stored_bytes == 4096 + 9
    assert store.claim(held.id, 0.0, "w").attempt == 2


def test_places_in_the_queue(store, add):
    first, second, third = add(), add(), add()
    assert [store.ahead(job) for job in (first, second, third)] == [0, 1, 2]
    store.claim(third.id, 200.0, "w")  # a broker may give out any of them
    assert [store.ahead(job) for job in (first, second)] == [1, 2]
    store.cancel(first.id, 300.0)
    assert store.ahead(second) == 1
    store.claim(second.id, 301.0, "w")  # since it was read
    assert store.ahead(second) == 1


def test_the_queue_is_counted(store, add):
    first, _ = add(created_at=100.0), add(created_at=101.0)
    assert store.counts(150.0).oldest_waiting_seconds == 50.0
    store.claim(first.id, 150.0, "w")
    counts = store.counts(160.0)
    assert counts.oldest_waiting_seconds == 59.0
    assert counts.by_state == {"queued": 1, "running": 1, "succeeded": 0, "failed": 0, "cancelled": 0}
    assert store.counts(0.0).oldest_waiting_seconds == 0.0


def test_a_running_job_names_its_worker_and_when_it_got_further(store, begun):
    held = begun()
    assert (held.worker, held.progress_at) == ("w", 200.0)
    held.seconds_done, held.progress_at = 3.0, 230.0
    store.progress(held)
    assert (store.get(held.id).worker, store.get(held.id).progress_at) == ("w", 230.0)
    assert store.counts(250.0).oldest_progress_seconds == 20.0
    store.finish(held, SUCCEEDED, 260.0)
    assert (store.get(held.id).worker, store.get(held.id).progress_at) == ("w", 230.0)
    assert store.counts(300.0).oldest_progress_seconds == 0.0


def test_the_pace_is_that_of_the_last_jobs_of_the_kind(store, begun):
    assert store.throughput("transcribe") is None
    for number in range(30):
        end = 9999.0 if number < 5 else 202.0 if number % 2 else 204.0
        store.finish(begun(size_bytes=1000), SUCCEEDED, end if number >= 10 else 200.0)
    store.finish(begun(), FAILED, 99_999.0, REASON)
    pace = store.throughput("transcribe")
    assert (pace.job_seconds, pace.byte_seconds) == (3.0, 0.003)
    assert store.throughput("speak") is None


def test_jobs_whose_time_is_over_are_found_and_forgotten(store, begun, add):
    ended = [begun(owner="me") for _ in range(3)]
    for job, state, end in zip(ended, FINISHED, (300.0, 310.0, 320.0), strict=True):
        if state == CANCELLED:
            store.cancel(job.id, end)
        else:
            store.finish(job, state, end)
    add(owner="me")
    assert store.finished_before(300.0) == []
    assert sorted(store.finished_before(320.0)) == sorted(ids(ended[:2]))
    for job in ended:
        store.remove(job.id)
        store.remove(job.id)  # by another worker
    assert store.finished_before(math.inf) == []
    assert store.get(ended[0].id) is None
    assert len(store.page("me", state="", before="", limit=9)) == 1


def test_a_hundred_at_a_time_are_over(store, begun):
    for _ in range(103):
        store.finish(begun(), SUCCEEDED, 300.0)
    assert len(store.finished_before(400.0)) == 100


def test_a_webhook_is_due_when_its_job_ends_and_claimed_by_one(store, begun, add):
    job = begun(webhook_url=HOOK)
    silent = begun()
    assert store.webhooks_due(math.inf) == []
    store.finish(job, SUCCEEDED, 300.0)
    store.cancel(silent.id, 300.0)
    assert store.webhooks_due(299.0) == []
    (due,) = store.webhooks_due(300.0)
    assert (due.id, due.webhook_state, due.webhook_attempts) == (job.id, "pending", 0)
    with ThreadPoolExecutor(8) as pool:
        claims = [*pool.map(lambda _: store.claim_webhook(due, 360.0), range(8))]
    assert sorted(claims) == [False] * 7 + [True]
    assert store.webhooks_due(359.0) == []
    (again,) = store.webhooks_due(360.0)
    assert (again.webhook_attempts, again.webhook_due_at) == (1, 360.0)
    store.end_webhook(again, "delivered")
    assert store.webhooks_due(math.inf) == []
    assert store.get(job.id).webhook_state == "delivered"
    assert not store.claim_webhook(again, 400.0)


def test_webhooks_come_a_few_at_a_time_with_their_texts_the_soonest_first(store, begun):
    """With their texts eight may have megabytes; the rest come when these are sent."""
    made = [begun(webhook_url=HOOK) for _ in range(12)]
    for number, job in enumerate(made):
        job.text = f"text {number}"
        store.finish(job, SUCCEEDED, 400.0 - number)
    due = store.webhooks_due(math.inf)
    assert ids(due) == ids(made[::-1][:8])
    assert due[0].text == "text 11"


def test_a_webhook_that_was_told_of_an_end_before_does_not_stand_for_the_next(store, begun):
    """Its try came back after the job was requeued and had ended again."""
    first = begun(webhook_url=HOOK)
    store.finish(first, FAILED, 300.0, REASON)
    (told,) = store.webhooks_due(300.0)
    store.claim_webhook(told, 310.0)
    store.requeue(first.id)
    store.end_webhook(told, "delivered")
    assert store.get(first.id).webhook_state == ""
    store.finish(store.claim(first.id, 320.0, "w"), SUCCEEDED, 330.0)
    store.end_webhook(told, "delivered")
    assert ids(store.webhooks_due(330.0)) == [first.id]


def test_changes_from_many_threads_are_all_made(store, begun):
    jobs = [begun() for _ in range(8)]
    ready = threading.Barrier(8)

    def end(job):
        ready.wait(20)
        job.text = job.id
        return store.progress(job) and store.finish(job, SUCCEEDED, 300.0)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(end, jobs))
    assert [store.get(job.id).text for job in jobs] == ids(jobs)
    assert store.counts(0.0).by_state[SUCCEEDED] == 8
