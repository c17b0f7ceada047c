"""Telling workers of jobs, without Celery."""

import json

import pytest
from celery import Celery

from app.errors import BrokerUnavailable
from app.jobs.fleet.queue import QUEUE, TASK, CeleryQueue, transport_options
from app.jobs.fleet.store import RedisStore
from app.jobs.fleet.transactions import connect
from app.jobs.job import CANCELLED, Job
from tests.processes import free_port

from .machines import Redis


@pytest.fixture
def queue(redis_server, store):
    queue = CeleryQueue(redis_server.url, store, time_limit_seconds=60)
    yield queue
    queue.close()


def taken(url):
    """The oldest message of the queue, as it is in Redis."""
    with connect(url) as client:
        return json.loads(client.rpop(QUEUE.name))


def test_a_message_is_what_celery_would_have_sent(queue, redis_server):
    queue.send("a")
    ours = taken(redis_server.url)
    with Celery("x", broker=redis_server.url) as app:
        app.conf.task_queues = [QUEUE]
        app.send_task(TASK, ["a"], queue=QUEUE.name, ignore_result=True)
        theirs = taken(redis_server.url)
    assert ours["body"] == theirs["body"]
    known = {name: theirs["headers"][name] for name in ours["headers"]}
    for message in (ours["headers"], known):
        assert message.pop("id") == message.pop("root_id")
    assert ours["headers"] == known
    assert ours["content-type"] == theirs["content-type"]
    assert ours["properties"]["delivery_mode"] == theirs["properties"]["delivery_mode"]


def test_a_job_that_was_told_of_needs_no_other_message(queue, store):
    job = store.add(Job("a", "transcribe", {}), 1 << 30)
    queue.changed(job)
    assert store.unpublished(1e12) == []


def test_nobody_is_told_of_a_job_that_was_cancelled(queue, redis_server):
    queue.changed(Job("a", "transcribe", {}, state=CANCELLED))
    with connect(redis_server.url) as client:
        assert client.llen(QUEUE.name) == 0


def test_a_broker_that_is_away_is_said_at_once_and_used_again_when_it_is_back(tmp_path):
    redis = Redis(tmp_path)
    store = RedisStore(connect(redis.url))
    queue = CeleryQueue(redis.url, store, time_limit_seconds=60)
    try:
        queue.check()
        job = store.add(Job("a", "transcribe", {}), 1 << 30)
        redis.kill()
        with pytest.raises(BrokerUnavailable):
            queue.check()
        with pytest.raises(BrokerUnavailable):
            queue.send("a")
        redis.start()
        queue.check()
        queue.changed(job)
        assert store.unpublished(1e12) == []
        assert taken(redis.url)["headers"]["task"] == TASK
    finally:
        queue.close()
        store.close()
        redis.kill()


def test_a_job_waits_for_a_workers_sweep_when_only_the_broker_is_away(store):
    queue = CeleryQueue(f"redis://127.0.0.1:{free_port()}/0", store, time_limit_seconds=60)
    job = store.add(Job("a", "transcribe", {}), 1 << 30)
    queue.changed(job)
    assert store.unpublished(1e12) == ["a"]
    with pytest.raises(BrokerUnavailable, match="broker"):
        queue.check()


def test_a_message_is_taken_for_lost_later_than_the_longest_job_takes():
    assert transport_options("redis://here", 7200)["visibility_timeout"] == 14_400
    assert transport_options("sqs://", 86_400)["visibility_timeout"] == 43_200
    assert transport_options("amqp://here", 7200)["confirm_publish"] is True
    assert transport_options("memory://", 7200) == {}
