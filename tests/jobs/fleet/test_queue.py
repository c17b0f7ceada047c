"""Tasks that the web sends, in Celery's own words."""

import base64
import json
import signal
import threading
import time
from pathlib import Path

import pytest

from app.config import Settings
from app.errors import BrokerUnavailable
from app.files import nameless
from app.jobs.files import LocalFiles
from app.jobs.fleet.queue import BEFORE, QUEUE, CeleryQueue, celery_app, priority, transport_options
from app.jobs.fleet.store import SENT, RedisStore
from app.jobs.fleet.transactions import connect
from app.jobs.job import CANCELLED, FAILED, Job
from app.jobs.service import Jobs
from tests.processes import free_port, until

from .machines import Redis, patient

BEHIND = f"{QUEUE.name}\x06\x169"  # kombu's name for the list of those with priority 9


def queue_of(url, store):
    return CeleryQueue(celery_app(Settings(celery_broker_url=url)), store)


@pytest.fixture
def queue(redis_server, store):
    with patient():
        queue = queue_of(redis_server.url, store)
    yield queue
    queue.close()


def taken(url, name=QUEUE.name):
    """The oldest message of the queue, as it is in Redis."""
    with connect(url) as client:
        return json.loads(client.rpop(name))


@pytest.mark.parametrize(
    ("job", "task", "list"),
    [
        (Job("a", "transcribe", {}), "pam_voice.transcribe", QUEUE.name),
        (Job("a", "speak", {}), "pam_voice.speak", QUEUE.name),
        (Job("a~1~0", "transcribe", {}), "pam_voice.part", BEHIND),
        (Job("a", "transcribe", {}, extra={"parts": 2}), "pam_voice.join", QUEUE.name),
    ],
)
def test_a_task_has_the_name_of_its_work_and_the_id_of_its_job(queue, redis_server, job, task, list):
    queue.send(job)
    headers = taken(redis_server.url, list)["headers"]
    assert (headers["task"], headers["id"], headers["ignore_result"]) == (task, job.id, False)


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # by Celery
@pytest.mark.parametrize("index", [0, 2])
def test_a_part_that_is_sent_again_has_its_place_in_the_chord(redis_server, store, index):
    app = celery_app(Settings(celery_broker_url=redis_server.url), worker=True)
    queue = CeleryQueue(app, store)
    parts = [Job(f"a~3~{number}", "transcribe", {}, extra={"of": 3}) for number in range(3)]
    queue.chord(parts).apply_async(task_id="a", root_id="a")
    first = [taken(redis_server.url, BEHIND) for _ in parts][index]
    size = f"{app.backend.group_keyprefix.decode()}a~3.s"
    with connect(redis_server.url) as client:
        assert client.get(size) == "3"
        client.delete(size)
        queue.send(parts[index])
        assert client.get(size) == "3"
    again = taken(redis_server.url, BEHIND)
    for name in ("task", "id", "group", "group_index", "root_id", "ignore_result"):
        assert again["headers"][name] == first["headers"][name], name
    (args, _, embedded), (args_before, _, before) = (
        json.loads(base64.b64decode(message["body"])) for message in (again, first)
    )
    assert args == args_before == [f"a~3~{index}"]
    for name in ("task", "args"):
        assert embedded["chord"][name] == before["chord"][name]
    for name in ("task_id", "priority"):
        assert embedded["chord"]["options"][name] == before["chord"]["options"][name]
    queue.close()


def test_a_job_that_is_queued_again_is_sent_at_once(queue, redis_server, store, tmp_path):
    jobs = Jobs(store, LocalFiles(tmp_path), queue, 1 << 30, threading.Semaphore())
    store.add(Job("a", "speak", {}, created_at=100.0), 1 << 30)
    store.finish(store.claim("a", 200.0, "w"), FAILED, 300.0)
    jobs.requeue(jobs.get("a", ""))
    assert taken(redis_server.url)["headers"]["id"] == "a"


def test_parts_are_behind_whole_jobs_whichever_way_a_broker_counts():
    for url in ("redis://here", "rediss://here", "sqs://"):
        assert priority(url, behind=False) < priority(url, behind=True)
    assert priority("amqp://here", behind=False) > priority("amqp://here", behind=True)
    assert QUEUE.max_priority >= priority("amqp://here", behind=False)


def test_nobody_is_told_of_a_job_that_was_cancelled(queue, redis_server):
    queue.changed(Job("a", "transcribe", {}, state=CANCELLED))
    with connect(redis_server.url) as client:
        assert client.llen(QUEUE.name) == 0


def test_a_broker_that_is_away_is_said_at_once_and_used_again_when_it_is_back(tmp_path):
    redis = Redis(tmp_path)
    store = RedisStore(connect(redis.url))
    queue = queue_of(redis.url, store)
    try:
        queue.check()
        job = store.add(Job("a", "transcribe", {}, created_at=100.0), 1 << 30)
        redis.kill()
        with pytest.raises(BrokerUnavailable):
            queue.check()
        with pytest.raises(BrokerUnavailable):
            queue.send(job)
        redis.start()
        queue.check()
        queue.changed(job)
        with connect(redis.url) as client:
            assert client.zscore(SENT, "a") > 100.0
        assert taken(redis.url)["headers"]["task"] == "pam_voice.transcribe"
    finally:
        queue.close()
        store.close()
        redis.kill()


@pytest.mark.parametrize("state", ["queued", "failed"])
def test_a_job_whose_acceptance_was_not_heard_of_has_its_recording_when_it_is_sent_again(tmp_path, state):
    """Redis took it, and hung before it could say so: the client was told to try again, with its key."""
    redis = Redis(tmp_path)
    store = RedisStore(connect(redis.url))
    queue = queue_of(redis.url, store)
    jobs = Jobs(store, LocalFiles(tmp_path / "jobs"), queue, 1 << 30, threading.Semaphore())

    def send(id):
        with nameless(jobs.files.upload_directory) as recording:
            recording.write(b"recording")
            return jobs.submit(Job(id, "transcribe", {}, idempotency_key="k"), recording)

    def count_and_hang(now):
        counts = RedisStore.counts(store, now)
        redis.process.send_signal(signal.SIGSTOP)
        return counts

    try:
        store.counts = count_and_hang  # asked just before the job is written
        with pytest.raises(BrokerUnavailable):
            send("a")
        del store.counts
        redis.process.send_signal(signal.SIGCONT)
        until(lambda: store.get("a"), "Redis has done what it was asked")
        if state == "failed":
            store.finish(store.claim("a", time.time(), "w"), FAILED, time.time())
        assert send("b").id == "a"
        with jobs.files.recording("a") as path:
            assert Path(path).read_bytes() == b"recording"
        assert [each.name for each in jobs.files.directory.iterdir()] == ["a"]
    finally:
        queue.close()
        store.close()
        redis.kill()


def test_a_job_waits_for_a_worker_when_only_the_broker_is_away(store, redis_server):
    queue = queue_of(f"redis://127.0.0.1:{free_port()}/0", store)
    job = store.add(Job("a", "transcribe", {}, created_at=100.0), 1 << 30)
    queue.changed(job)
    with connect(redis_server.url) as client:
        assert client.zscore(SENT, "a") == 100.0
    with pytest.raises(BrokerUnavailable, match="broker"):
        queue.check()


def test_the_queue_of_the_release_before_is_read_too():
    app = celery_app(Settings(celery_broker_url="redis://here"), worker=True)
    assert (
        {queue.name for queue in app.conf.task_queues}
        == {QUEUE.name, BEFORE.name}
        == {"pam-voice.jobs", "pam-voice"}
    )


def test_a_message_is_given_out_again_after_a_minute():
    for url in ("redis://here", "valkey://here", "sentinel://here", "sqs://"):
        assert transport_options(url)["visibility_timeout"] == 60
    assert transport_options("amqp://here")["confirm_publish"] is True
    assert transport_options("memory://") == {}


def test_results_over_tls_are_checked_as_jobs_are():
    app = celery_app(Settings(celery_broker_url="rediss://:secret@here:6380/0"), worker=True)
    assert app.backend.connparams["ssl_cert_reqs"] is not None
