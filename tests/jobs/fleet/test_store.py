"""The store over Redis: every change once, by one of many."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import BrokerUnavailable, InsufficientStorage
from app.jobs.fleet.part import part_ids
from app.jobs.fleet.records import PREFIX
from app.jobs.fleet.store import RedisStore
from app.jobs.fleet.transactions import connect
from app.jobs.job import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED, Job
from tests.processes import free_port

ROOM = 1 << 30
REASON = {"message": "no", "code": "engine_died", "param": None}


def job(id="a", *, at=100.0, **fields):
    return Job(id, "transcribe", {"language": "en"}, created_at=at, **fields)


def clips(*ends):
    """What parts that end there are asked."""
    return [{"clip": [begin, end]} for begin, end in zip((0, *ends), ends, strict=False)]


def added(store, id="a", **fields):
    return store.add(job(id, **fields), ROOM)


def begun(store, id="a", **fields):
    added(store, id, **fields)
    return store.begin(id, 200.0)


def test_a_job_comes_back_as_it_was_kept(store):
    made = job(
        owner="me", webhook_url="https://example.com", size_bytes=5, extra={"url": "x"}, text="ümlaut\n"
    )
    store.add(made, ROOM)
    assert store.get("a") == made


def test_a_repeated_key_gives_the_first_job(store):
    first = added(store, "a", owner="me", idempotency_key="k")
    assert added(store, "b", owner="me", idempotency_key="k") == first
    assert added(store, "c", owner="you", idempotency_key="k").id == "c"
    assert store.find("me", "k").id == "a"
    assert store.find("me", "") is None
    assert store.get("b") is None


def test_a_key_is_free_again_once_its_job_is_removed(store):
    added(store, "a", idempotency_key="k")
    store.remove("a")
    assert added(store, "b", idempotency_key="k").id == "b"


def test_twenty_posts_at_once_with_one_key_make_one_job(store):
    with ThreadPoolExecutor(20) as pool:
        ids = {one.id for one in pool.map(lambda n: added(store, f"j{n}", idempotency_key="k"), range(20))}
    assert len(ids) == 1
    assert store.counts(0).queued == 1


def test_what_does_not_fit_is_refused(store):
    store.add(job("a", size_bytes=600), 1000)
    with pytest.raises(InsufficientStorage, match="JOB_DISK_MB"):
        store.add(job("b", size_bytes=600), 1000)
    store.remove("a")
    store.add(job("b", size_bytes=600), 1000)
    assert store.counts(0).stored_bytes == 600


def test_only_one_of_many_workers_begins_a_job(store):
    added(store)
    with ThreadPoolExecutor(20) as pool:
        begun = [one for one in pool.map(lambda n: store.begin("a", 200.0), range(20)) if one]
    assert len(begun) == 1
    assert (begun[0].state, begun[0].attempt, begun[0].started_at) == (RUNNING, 1, 200.0)


def test_a_job_ends_once(store):
    held = begun(store)
    assert store.finish(held, SUCCEEDED, 300.0)
    assert not store.finish(held, FAILED, 301.0, REASON)
    assert not store.progress(held)
    assert not store.put_back(held, 0)
    assert not store.cancel("a", 302.0)
    assert store.begin("a", 303.0) is None
    assert (store.get("a").state, store.get("a").finished_at) == (SUCCEEDED, 300.0)


def test_nothing_is_taken_from_an_attempt_that_is_over(store):
    first = begun(store)
    store.put_back(first, 0)
    second = store.begin("a", 201.0)
    assert second.attempt == 2
    assert not store.hold(first)
    assert not store.progress(first)
    assert not store.finish(first, SUCCEEDED, 300.0)
    assert store.hold(second)
    assert store.finish(second, SUCCEEDED, 300.0)


def test_what_was_found_is_kept_and_a_recording_counts_no_longer(store):
    held = begun(store, size_bytes=1000)
    held.seconds_done, held.text = 3.0, "so far"
    assert store.progress(held)
    assert (store.get("a").seconds_done, store.get("a").text) == (3.0, "so far")
    held.text, held.result, held.result_bytes = "all", {"duration": 4.0}, 10
    store.finish(held, SUCCEEDED, 300.0)
    assert (store.get("a").text, store.get("a").result) == ("all", {"duration": 4.0})
    assert store.counts(0).stored_bytes == 10


def test_a_job_put_back_waits_until_it_is_due(store):
    held = begun(store)
    held.failures = 2
    assert store.put_back(held, 500.0)
    assert store.begin("a", 499.0) is None
    assert store.hints_due(499.0) == []
    assert store.hints_due(500.0) == ["a"]
    assert store.begin("a", 500.0).failures == 2
    assert store.hints_due(500.0) == []


def test_a_message_is_due_when_nobody_said_that_it_was_sent(store):
    added(store, "a")
    added(store, "b")
    store.published("a")
    assert store.hints_due(1000.0) == ["b"]


def test_a_dead_job_is_requeued_as_new(store):
    held = begun(store, webhook_url="https://example.com")
    held.failures = 3
    store.finish(held, FAILED, 300.0, REASON)
    assert store.get("a").error == REASON
    assert [one.id for one in store.webhooks_due(300.0)] == ["a"]
    assert store.requeue("a")
    assert not store.requeue("a")
    now = store.get("a")
    assert (now.state, now.failures, now.error, now.finished_at, now.webhook_state) == (
        QUEUED,
        0,
        None,
        None,
        "",
    )
    assert store.webhooks_due(1e12) == []
    assert store.begin("a", 400.0).attempt == 2


def test_a_cancelled_job_is_not_begun_and_a_running_one_is_told(store):
    added(store, "queued")
    held = begun(store, "running")
    assert store.cancel("queued", 300.0)
    assert store.cancel("running", 300.0)
    assert store.begin("queued", 301.0) is None
    assert not store.progress(held)
    assert not store.hold(held)
    assert store.get("running").state == CANCELLED
    assert store.hints_due(1e12) == []
    assert store.lapsed() == []


def test_pages_are_the_owners_newest_first(store):
    for number in range(5):
        added(store, f"j{number}", at=100.0 + number, owner="me", text="long")
    added(store, "other", owner="you")
    first = store.page("me", state="", before="", limit=2)
    assert [one.id for one in first] == ["j4", "j3"]
    assert first[0].text == ""
    assert [one.id for one in store.page("me", state="", before="j3", limit=9)] == ["j2", "j1", "j0"]
    store.cancel("j1", 300.0)
    assert [one.id for one in store.page("me", state=CANCELLED, before="", limit=9)] == ["j1"]
    assert [one.id for one in store.page("me", state=QUEUED, before="j3", limit=9)] == ["j2", "j0"]
    assert store.page("me", state="", before="gone", limit=9) == []


def test_counts_and_places_in_the_queue(store):
    held = begun(store, "a", at=100.0)
    added(store, "b", at=110.0)
    last = added(store, "c", at=120.0)
    assert store.ahead(last) == 2
    counts = store.counts(150.0)
    assert (counts.queued, counts.running, counts.oldest_waiting_seconds) == (2, 1, 40.0)
    store.finish(held, SUCCEEDED, 300.0)
    assert store.counts(150.0).by_state[SUCCEEDED] == 1
    assert store.ahead(last) == 1


def test_the_pace_is_that_of_the_last_jobs(store):
    assert store.pace("transcribe") is None
    for number in range(30):
        held = begun(store, f"j{number}", size_bytes=100)
        store.finish(held, SUCCEEDED, 205.0 if number else 9999.0)
    pace = store.pace("transcribe")
    assert (pace.job_seconds, pace.byte_seconds) == (5.0, 0.05)


def test_what_has_expired_is_found_and_forgotten(store):
    for id, end in (("a", 300.0), ("b", 400.0)):
        store.finish(begun(store, id, owner="me"), SUCCEEDED, end)
    assert store.finished_before(350.0) == ["a"]
    store.remove("a")
    assert store.get("a") is None
    assert store.finished_before(350.0) == []
    assert [one.id for one in store.page("me", state="", before="", limit=9)] == ["b"]
    store.remove("a")


def test_nothing_is_left_in_redis_of_a_job_that_is_removed(store, redis_server):
    held = begun(store, owner="me", idempotency_key="k", webhook_url="https://example.com", size_bytes=9)
    store.split(held, clips(1, 2))
    store.cancel("a", 300.0)
    store.remove("a")
    with connect(redis_server.url) as client:
        assert client.keys() == [PREFIX + "bytes"]
        assert client.get(PREFIX + "bytes") == "0"


def test_a_webhook_is_tried_by_one(store):
    held = begun(store, webhook_url="https://example.com")
    store.finish(held, SUCCEEDED, 300.0)
    (due,) = store.webhooks_due(300.0)
    assert store.webhook_begin(due, 310.0)
    assert not store.webhook_begin(due, 310.0)
    assert store.webhooks_due(309.0) == []
    (again,) = store.webhooks_due(310.0)
    assert again.webhook_attempts == 1
    store.webhook_ended(again, "delivered")
    assert store.webhooks_due(1e12) == []
    assert not store.webhook_begin(again, 400.0)


def test_a_running_job_nobody_holds_has_lapsed(store, redis_server):
    held = begun(store)
    assert store.lapsed() == []
    with connect(redis_server.url) as client:
        assert 0 < client.pttl(PREFIX + "lease:a") <= 10_000
        client.delete(PREFIX + "lease:a")  # as its time does
        assert [one.id for one in store.lapsed()] == ["a"]
        assert store.hold(held)
    assert store.lapsed() == []


def test_parts_are_jobs_nobody_sees_but_workers(store):
    held = begun(store, owner="me")
    parts = store.split(held, clips(600, 900))
    assert [part.asked for part in parts] == clips(600, 900)
    assert [one.id for one in store.page("me", state="", before="", limit=9)] == ["a"]
    assert store.counts(200.0).queued == 2
    second = store.begin(parts[1].id, 201.0)
    second.seconds_done, second.text = 620.0, "the end"
    store.progress(second)
    first = store.begin(parts[0].id, 201.0)
    first.seconds_done, first.text = 10.0, "the start"
    store.progress(first)
    whole = store.get("a")
    assert (whole.seconds_done, whole.text) == (30.0, "the start the end")
    store.finish(first, SUCCEEDED, 300.0)
    assert store.counts(300.0).by_state[SUCCEEDED] == 0


def test_parts_end_with_their_job(store):
    held = begun(store)
    parts = store.split(held, clips(600, 900))
    running = store.begin(parts[0].id, 201.0)
    store.cancel("a", 300.0)
    assert not store.progress(running)
    assert not store.finish(running, SUCCEEDED, 301.0)
    assert store.begin(parts[1].id, 301.0) is None
    assert store.counts(300.0).queued == 0


def test_a_job_that_was_given_to_another_is_not_split(store):
    first = begun(store)
    store.put_back(first, 0)
    assert store.split(first, clips(600, 900)) == []
    again = store.begin("a", 200.0)
    assert part_ids(again) == []


def test_the_oldest_that_is_due_is_found(store):
    store.put_back(begun(store, "a", at=100.0), 900.0)
    added(store, "b", at=101.0)
    added(store, "c", at=102.0)
    assert store.oldest_queued(500.0, 1) == ["b"]


def test_a_field_of_a_newer_version_is_no_trouble(store, redis_server):
    added(store)
    with connect(redis_server.url) as client:
        client.hset(PREFIX + "job:a", "colour", json.dumps("blue"))
    assert store.get("a") == job()


def test_redis_away_is_said_at_once():
    store = RedisStore(connect(f"redis://127.0.0.1:{free_port()}/0"))
    with pytest.raises(BrokerUnavailable, match="Redis"):
        store.get("a")


def test_a_store_that_goes_on_trying_waits_for_redis():
    asked = threading.Semaphore(2)
    store = RedisStore(connect(f"redis://127.0.0.1:{free_port()}/0"), lambda: asked.acquire(blocking=False))
    with pytest.raises(BrokerUnavailable):
        store.get("a")
    assert not asked.acquire(blocking=False)
