"""The store over Redis: every change once, by one of many."""

import json
import threading

import pytest

from app.errors import BrokerUnavailable
from app.jobs.fleet.store import PREFIX, RedisStore
from app.jobs.fleet.transactions import connect
from app.jobs.job import CANCELLED, QUEUED, SUCCEEDED, Job, part_ids
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
    return store.claim(id, 200.0, "w")


def test_nothing_is_taken_from_an_attempt_that_is_over(store):
    first = begun(store)
    store.put_back(first, 0)
    second = store.claim("a", 201.0, "w")
    assert second.attempt == 2
    assert not store.renew_lease(first)
    assert not store.progress(first)
    assert not store.finish(first, SUCCEEDED, 300.0)
    assert store.renew_lease(second)
    assert store.finish(second, SUCCEEDED, 300.0)


def test_a_job_put_back_waits_until_it_is_due(store):
    held = begun(store)
    held.failures = 2
    assert store.put_back(held, 500.0)
    assert store.claim("a", 499.0, "w") is None
    assert store.claim("a", 500.0, "w").failures == 2


def test_a_cancelled_job_is_not_begun_and_a_running_one_is_told(store):
    added(store, "queued")
    held = begun(store, "running")
    assert store.cancel("queued", 300.0)
    assert store.cancel("running", 300.0)
    assert store.claim("queued", 301.0, "w") is None
    assert not store.progress(held)
    assert not store.renew_lease(held)
    assert store.get("running").state == CANCELLED
    assert store.overdue(1e12, 1e12) == []


def test_nothing_is_left_in_redis_of_a_job_that_is_removed(store, redis_server):
    held = begun(store, owner="me", idempotency_key="k", webhook_url="https://example.com", size_bytes=9)
    store.split(held, clips(1, 2))
    store.cancel("a", 300.0)
    store.remove("a")
    with connect(redis_server.url) as client:
        assert client.keys() == [PREFIX + "bytes"]
        assert client.get(PREFIX + "bytes") == "0"


def test_a_running_job_nobody_holds_has_lapsed(store, redis_server):
    held = begun(store)
    assert store.overdue(1e12, 1e12) == []
    with connect(redis_server.url) as client:
        assert 0 < client.pttl(PREFIX + "lease:a") <= 10_000
        client.delete(PREFIX + "lease:a")  # as its time does
        assert [one.id for one in store.overdue(0.0, 1e12)] == ["a"]
        assert store.renew_lease(held)
    assert store.overdue(1e12, 1e12) == []


def test_parts_are_jobs_nobody_sees_but_workers(store):
    held = begun(store, owner="me")
    parts = store.split(held, clips(600, 900))
    assert [part.params for part in parts] == clips(600, 900)
    assert [one.id for one in store.page("me", state="", before="", limit=9)] == ["a"]
    assert store.counts(200.0).by_state[QUEUED] == 2
    second = store.claim(parts[1].id, 201.0, "w")
    second.seconds_done, second.text = 620.0, "the end"
    store.progress(second)
    first = store.claim(parts[0].id, 201.0, "w")
    first.seconds_done, first.text = 10.0, "the start"
    store.progress(first)
    whole = store.get("a")
    assert (whole.seconds_done, whole.text) == (30.0, "the start the end")
    store.finish(first, SUCCEEDED, 300.0)
    assert store.counts(300.0).by_state[SUCCEEDED] == 0


def test_parts_end_with_their_job(store):
    held = begun(store)
    parts = store.split(held, clips(600, 900))
    running = store.claim(parts[0].id, 201.0, "w")
    store.cancel("a", 300.0)
    assert not store.progress(running)
    assert not store.finish(running, SUCCEEDED, 301.0)
    assert store.claim(parts[1].id, 301.0, "w") is None
    assert store.counts(300.0).by_state[QUEUED] == 0


def test_a_job_that_was_given_to_another_is_not_split(store):
    first = begun(store)
    store.put_back(first, 0)
    assert store.split(first, clips(600, 900)) == []
    again = store.claim("a", 200.0, "w")
    assert part_ids(again) == []


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
