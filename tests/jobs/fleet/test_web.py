"""The web's routes with workers behind them, as somebody uses them."""

import json

import pytest

from app.jobs.job import FINISHED, RUNNING
from tests.likeness import understood
from tests.processes import until
from tests.recordings import AUSTEN_SHORT
from tests.server import Server

from ..receiver import Receiver
from .machines import started

JOBS = "/api/v1/pam/voice/jobs"


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, receiver):
    folder = tmp_path_factory.mktemp("fleet")
    settings = {
        "WEBHOOK_SECRET": "that-nobody-guesses",
        "WEBHOOK_PRIVATE_ADDRESSES": "true",
        "SSL_CERT_FILE": receiver.trusted_by(folder / "authority.pem"),
    }
    with started(folder / "fleet", **settings) as fleet:
        fleet.worker()
        yield fleet


@pytest.fixture(scope="module")
def server(fleet):
    with Server(**fleet.environment) as server:
        yield server


def checked(server, name):
    """What is wrong with it, as health says."""
    return server.get("/health").json["checks"].get(name, {"reason": "not known"})["reason"]


def ended(server, answer):
    """The job an accepted request became, once it has ended."""
    assert answer.status == 202, answer.body
    place = answer.headers["Location"].partition(f":{server.port}")[2] or answer.headers["Location"]
    until(lambda: server.get(place).json["state"] in FINISHED, "the job ends")
    return place, server.get(place).json


def test_a_recording_posted_here_is_transcribed_there(server):
    place, job = ended(server, server.upload(JOBS, AUSTEN_SHORT.path.read_bytes()))
    assert (job["state"], job["attempts"]) == ("succeeded", 1)
    assert "/" in job["worker"]
    assert job["created_at"] < job["progress"]["at"] <= job["finished_at"]
    assert understood(job["text"], AUSTEN_SHORT.text)
    subtitles = server.get(f"{place}/result?format=srt")
    assert subtitles.body.startswith(b"1\n00:00:0")
    assert not [line for line in server.log.splitlines() if "engine=whisper" in line]  # the web has none
    assert server.request("DELETE", place).status in (200, 204)
    assert server.get(place).status == 404


def test_a_text_posted_here_is_spoken_there(server):
    place, job = ended(server, server.post(JOBS, {"text": "Hello.", "engine": "espeak", "format": "wav"}))
    assert job["state"] == "succeeded"
    audio = server.get(f"{place}/result")
    assert audio.headers["X-TTS-Engine"] == "espeak"
    assert audio.body[:4] == b"RIFF"
    assert len(audio.body) == job["result"]["bytes"]


def test_a_worker_sends_the_webhook(server, receiver):
    asked = {"text": "Hello.", "engine": "espeak", "webhook_url": f"{receiver.url}/ended"}
    _, job = ended(server, server.post(JOBS, asked))
    until(lambda: len(receiver.got) == 1, "the webhook comes")
    assert json.loads(receiver.got[0][2])["data"]["id"] == job["id"]


def test_a_key_makes_a_repeated_post_the_same_job(server):
    first = server.post(JOBS, {"text": "Once.", "engine": "espeak"}, **{"Idempotency-Key": "k1"})
    again = server.post(JOBS, {"text": "Once.", "engine": "espeak"}, **{"Idempotency-Key": "k1"})
    assert first.json["id"] == again.json["id"]
    assert ended(server, first)[1]["attempts"] == 1


@pytest.mark.long
def test_the_dead_are_listed_and_can_be_brought_back(server):
    _, job = ended(server, server.upload(JOBS, b"Dear sir, this is a letter."))
    assert job["state"] == "failed"
    assert job["error"]["code"] == "invalid_audio"
    assert job["id"] in [one["id"] for one in server.get(f"{JOBS}?state=failed").json["jobs"]]
    answer = server.post(f"{JOBS}/{job['id']}/requeue")
    assert answer.status in (200, 202)
    until(lambda: server.get(f"{JOBS}/{job['id']}").json["attempts"] == 2, "it is tried again")
    until(lambda: server.get(f"{JOBS}/{job['id']}").json["state"] == "failed", "it fails again")


def test_a_job_can_be_watched_from_here_while_it_is_done_there(server, half_minute):
    accepted = server.upload(JOBS, half_minute.read_bytes())
    events = server.get(f"{JOBS}/{accepted.json['id']}/events").body.decode()
    assert "succeeded" in events
    assert events.count("data:") >= 3


def test_metrics_say_how_much_there_is_to_do(server, fleet):
    until(lambda: not fleet.store.counts(0).by_state[RUNNING], "nothing runs")
    fleet.add("waiting", due_at=1e12)
    metrics = server.get("/metrics").body.decode()
    assert "\njobs_queue_length 1.0" in metrics
    assert "\njobs_oldest_waiting_seconds " in metrics
    assert "\njobs_workers 1.0" in metrics
    assert "\njobs_oldest_progress_seconds 0.0" in metrics
    fleet.store.remove("waiting")


def test_without_redis_it_is_503_at_once_and_well_again_without_a_restart(tmp_path):
    with started(tmp_path / "f") as fleet, Server(**fleet.environment) as server:
        assert server.post(JOBS, {"text": "Before."}).status == 202
        fleet.redis.kill()
        refused = server.upload(JOBS, AUSTEN_SHORT.path.read_bytes())
        assert (refused.status, refused.error["code"]) == (503, "broker_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert server.get(f"{JOBS}/any").status == 503
        assert server.get("/health/live").status == 200
        assert server.get("/metrics").status == 200
        until(lambda: "does not answer" in checked(server, "jobs"), "health says that Redis is away")
        assert server.get("/health").json["status"] == "degraded"
        fleet.redis.start()
        until(lambda: not checked(server, "jobs"), "health says that Redis is back")
        assert "no worker" in checked(server, "job workers")
        assert server.upload(JOBS, AUSTEN_SHORT.path.read_bytes()).status == 202
        assert [job["state"] for job in server.get(JOBS).json["jobs"]] == ["queued", "queued"]
