"""/health tells what is wrong while the service runs, wakes nothing, and waits for nobody."""

import contextlib
import os
from pathlib import Path

import pytest

from app import create_app
from app.config import Settings
from app.jobs import files
from tests.jobs.fleet.machines import Redis
from tests.processes import until
from tests.server import Server


@contextlib.contextmanager
def service(**settings):
    app = create_app(Settings(**settings))
    try:
        yield app.test_client()
    finally:
        app.extensions["services"].close()


def reason(client, name):
    """Why it is not healthy, once that is known; where it is, the empty text."""
    return until(lambda: client.get("/health").json["checks"].get(name), "it was looked at")["reason"]


@pytest.mark.parametrize(("setting", "check"), [("upload_dir", "uploads"), ("data_dir", "jobs")])
def test_a_directory_that_is_lost_while_it_serves_is_told_and_forgotten_when_it_is_back(
    tmp_path, setting, check
):
    directory, aside = tmp_path / "here", tmp_path / "aside"
    directory.mkdir()
    with service(**{setting: str(directory)}) as client:
        assert not reason(client, check)
        directory.rename(aside)
        directory.write_text("a file in its place")
        found = until(lambda: reason(client, check), "health says that the directory is lost")
        assert str(directory) in found
        assert setting.upper() in found
        assert client.get("/health").json["status"] == "degraded"
        assert client.get("/health/ready").json["failing"] == {check: found}
        directory.unlink()
        aside.rename(directory)
        until(lambda: not reason(client, check), "health says that it is back")


def test_who_sends_a_recording_where_none_can_be_received_is_told_why(tmp_path):
    with service(upload_dir=str(tmp_path / "lost")) as client:
        answer = client.post("/api/v1/pam/voice/transcribe", data=b"RIFF", content_type="audio/wav")
        assert (answer.status_code, answer.json["error"]["code"]) == (507, "insufficient_storage")
        assert "No such file or directory" in answer.json["error"]["message"]


def test_a_full_disk_of_jobs_and_one_too_small_for_an_upload(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    monkeypatch.setattr(files, "KEPT_FREE_BYTES", 1 << 60)
    with service(data_dir=str(tmp_path), max_upload_mb=1 << 40) as client:
        assert "is full" in reason(client, "jobs")
        assert "can't take an upload" in reason(client, "uploads")


def test_looking_leaves_nothing_behind_and_starts_no_engine(tmp_path):
    with service(upload_dir=str(tmp_path), data_dir=str(tmp_path / "data")) as client:
        client.get("/health")
        engines = client.get("/api/memory").json["budget"]["engines"]
        assert {engine["state"] for engine in engines} == {"stopped"}
    assert os.listdir(tmp_path) == []


def test_a_redis_that_is_away_is_told_while_the_rest_works(tmp_path):
    redis = Redis(tmp_path)
    try:
        environment = {"CELERY_BROKER_URL": redis.url, "RATE_LIMIT": "1000/minute", "REDIS_URL": redis.url}
        with Server(**environment, JOB_STORAGE_URL=Path(tmp_path, "storage").as_uri()) as server:

            def failing():
                return [*server.get("/health/ready").json["failing"]]

            until(
                lambda: failing() == ["job workers"], "all is well but that there is no worker", said=failing
            )
            redis.kill()
            for name in ("jobs", "rate limits"):
                until(lambda name=name: reason(server, name), f"{name}: Redis is away")
            assert server.get("/health").status == 200
            assert server.get("/v1/models").status == 200
            redis.start()
            until(lambda: failing() == ["job workers"], "Redis is back", said=failing)
    finally:
        redis.kill()


def test_metrics_have_the_free_disk_of_jobs(tmp_path):
    with service(data_dir=str(tmp_path)) as client:
        (line,) = [
            line
            for line in client.get("/metrics").text.splitlines()
            if line.startswith("service_data_disk_free")
        ]
        assert float(line.split()[1]) > 0
