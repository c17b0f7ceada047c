"""Jobs that version 0.2.0 stored (version_0_2_0.json, written by its own code) are read and go on."""

import json
import math
import sqlite3
from pathlib import Path

import pytest

from app.jobs.fleet.transactions import connect
from app.jobs.job import QUEUED, RUNNING, SUCCEEDED
from app.jobs.store_sqlite import open_store

from .conftest import NEEDS_REDIS

# Before each test, which must not leave a process behind.
pytestmark = pytest.mark.usefixtures("redis_server")
STORED = json.loads(Path(__file__).with_name("version_0_2_0.json").read_text())


@pytest.fixture
def from_sqlite(directory):
    directory.mkdir(parents=True)
    old = sqlite3.connect(directory / "jobs.sqlite3")
    old.executescript("\n".join(STORED["sqlite"]))
    old.close()
    store = open_store(directory)
    yield store
    store.close()


@pytest.fixture
def from_copies(directory):
    for id, copy in STORED["copies"].items():
        (directory / id).mkdir(parents=True)
        (directory / id / "job.json").write_text(json.dumps(copy))
    store = open_store(directory)
    yield store
    store.close()


@pytest.fixture
def from_redis(redis_store, redis_server):
    with connect(redis_server.url) as client:
        for key, value in STORED["redis"].items():
            if isinstance(value, str):
                client.set(key, value)
            elif isinstance(value, list):
                client.rpush(key, *value)
            elif isinstance(next(iter(value.values())), str):
                client.hset(key, mapping=value)
            else:
                client.zadd(key, value)
    return redis_store


@pytest.fixture(params=["sqlite", "copies", pytest.param("redis", marks=NEEDS_REDIS)])
def store(request):
    return request.getfixturevalue(f"from_{request.param}")


def test_every_job_is_there_as_it_was(store, request):
    jobs = {job.id: store.get(job.id) for job in store.page("me", state="", before="", limit=101)}
    assert list(jobs) == ["queued", "failed", "running", "done"]
    assert jobs["done"].params == {"language": "en", "prompt": "Grüße"}
    assert (jobs["done"].state, jobs["done"].text, jobs["done"].result_bytes) == (SUCCEEDED, "said", 30)
    assert jobs["done"].result == {"language": "en", "duration": 4.0, "model": "tiny.en"}
    assert jobs["failed"].error["code"] == "engine_died"
    assert jobs["queued"].extra == {"url": "u/queued", "format": "json", "caller": "key me"}
    assert [(job.worker, job.progress_at) for job in jobs.values()] == [("", None)] * 4
    copied = "copies" in request.node.name
    assert jobs["running"].state == (QUEUED if copied else RUNNING)  # a copy says how a job began
    assert store.counts(300.0).stored_bytes == 4 * 4096 + 30 + 70_000 + 1 + 5
    assert store.find("me", "k").id == "queued"
    assert [job.id for job in store.webhooks_due(math.inf)] == ["done"]


def test_every_job_goes_on(store):
    if (running := store.get("running")).state == QUEUED:
        running = store.claim("running", 400.0, "here/1")
    running.progress_at, running.text = 401.0, "all"
    assert store.progress(running)
    assert store.finish(running, SUCCEEDED, 402.0)
    assert store.requeue("failed")
    assert store.claim("queued", 403.0, "here/1").worker == "here/1"
    (due,) = store.webhooks_due(math.inf)
    assert store.claim_webhook(due, 500.0)
    for id in ("done", "running", "failed", "queued"):
        store.remove(id)
    assert store.counts(600.0).stored_bytes == 0
