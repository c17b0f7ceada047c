"""Real workers on a real Redis: every job is done, and ends once, whatever happens to its message or its worker."""

import contextlib
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.config import PROJECT
from app.jobs.files import read_segments
from app.jobs.fleet.queue import BEFORE, QUEUE, CeleryQueue, celery_app
from app.jobs.fleet.transactions import connect
from app.jobs.job import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED, TRANSCRIBE, Job
from app.speech.transcription import Clip
from tests.likeness import understood
from tests.processes import until
from tests.recordings import AUSTEN_SHORT

from .machines import read_aloud_text, started
from .rabbitmq import RabbitMQ

BEHIND = f"{QUEUE.name}\x06\x169"  # kombu's name for the list of those with priority 9


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """With one worker, which nobody ends."""
    with started(tmp_path_factory.mktemp("fleet"), JOB_PART_MINUTES="1") as fleet:
        fleet.worker()
        yield fleet


def segments(fleet, id):
    with fleet.files.result(id) as lines:
        return list(read_segments(lines))


def left(fleet, id):
    """The names of the job's files."""
    return sorted(path.name for path in (fleet.files.directory / id).iterdir())


def test_a_job_is_done(fleet):
    fleet.submit("a")
    job = fleet.ended("a")
    assert (job.state, job.attempt, job.failures, job.error) == (SUCCEEDED, 1, 0, None)
    assert understood(job.text, AUSTEN_SHORT.text)
    assert job.result == {"language": "en", "duration": AUSTEN_SHORT.seconds, "model": "tiny.en"}
    assert "".join(segment.text for segment in segments(fleet, "a")).strip() == job.text
    until(lambda: left(fleet, "a") == ["result"], "the recording goes once there is a result")


def test_a_job_is_done_once_however_often_its_message_comes(fleet):
    job = fleet.submit("twice")
    for _ in range(5):
        fleet.queue.send(job)
    fleet.ended("twice")
    fleet.submit("after")
    fleet.ended("after")
    assert fleet.store.get("twice").attempt == 1


def test_a_message_for_a_job_nobody_knows_is_dropped(fleet):
    fleet.queue.send(Job("unheard-of", TRANSCRIBE, {}))
    fleet.submit("next")
    assert fleet.ended("next").state == SUCCEEDED


def test_celery_knows_a_job_by_its_id_its_state_and_its_result(fleet, minute):
    """What `celery result ID` and Flower ask."""
    known = celery_app(fleet.settings, worker=True).AsyncResult
    fleet.submit("seen", minute)
    until(lambda: known("seen").state in ("PROGRESS", "STARTED"), "it is under way", said=fleet.said)
    fleet.ended("seen")
    until(lambda: known("seen").ready(), "Celery knows that it has ended", said=fleet.said)
    assert known("seen").result == fleet.store.get("seen").result
    fleet.submit("none", Path(__file__))
    assert fleet.ended("none").state == FAILED
    until(lambda: known("none").ready(), "Celery knows that it has failed", said=fleet.said)
    assert known("none").state == "FAILURE"
    assert "invalid_audio" in str(known("none").result)


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # by Celery
def test_parts_that_were_done_and_not_counted_are_counted_when_their_messages_come_again(fleet):
    """As when a worker is killed that has just ended one."""
    fleet.add("uncounted")
    clips = [{"clip": Clip(0.0, 40.0)}, {"clip": Clip(40.0, 75.0)}]
    parts = fleet.store.split(fleet.store.claim("uncounted", time.time(), "w"), clips)
    queue = CeleryQueue(celery_app(fleet.settings, worker=True), fleet.store)
    for part in parts:
        part = fleet.store.claim(part.id, time.time(), "w")
        with fleet.files.new_result(part.id):
            part.result = {"duration": part.params["clip"][1]}
        fleet.store.finish(part, SUCCEEDED, time.time())
        queue.send(part)
    queue.close()
    assert fleet.ended("uncounted").result == {"duration": 75.0}
    assert "job=uncounted waits" not in fleet.said()  # Celery has sent the task that joins


def test_celery_knows_how_a_job_in_parts_ended_that_did_not_succeed(fleet, four_minutes):
    known = celery_app(fleet.settings, worker=True).AsyncResult
    for id in ("unheard", "dropped"):
        fleet.submit(id, four_minutes)
        until(lambda id=id: fleet.store.get(id).extra.get("parts"), "it is divided", said=fleet.said)
        if id == "unheard":
            fleet.files.drop_recording(id)
        else:
            fleet.jobs.cancel(fleet.store.get(id))
        until(lambda id=id: known(id).ready(), "Celery knows that it has ended", said=fleet.said)
    assert (fleet.store.get("unheard").state, known("unheard").state) == (FAILED, "FAILURE")
    assert "is gone" in str(known("unheard").result)
    assert (fleet.store.get("dropped").state, known("dropped").state) == (CANCELLED, "REVOKED")


def test_a_job_that_is_revoked_is_cancelled(fleet, half_minute):
    """Begun, by what Flower calls to terminate it; and while it waits."""
    control = celery_app(fleet.settings, worker=True).control
    fleet.submit("begun", half_minute, beam_size=10)  # which takes longer than to say so
    fleet.submit("waits")
    until(lambda: fleet.store.get("begun").state == RUNNING, "it is under way", said=fleet.said)
    control.revoke("waits")
    control.revoke("begun", terminate=True)
    assert fleet.ended("begun").state == fleet.ended("waits").state == CANCELLED
    fleet.submit("goes-on")
    assert fleet.ended("goes-on").state == SUCCEEDED


def test_a_dead_job_is_requeued_by_celery_too(fleet):
    fleet.submit("dead", Path(__file__))
    fleet.ended("dead")
    celery_app(fleet.settings, worker=True).send_task("pam_voice.requeue", ["dead"])
    until(lambda: fleet.store.get("dead").attempt == 2, "it is done again", said=fleet.said)
    assert fleet.ended("dead").state == FAILED


def test_a_message_of_the_release_before_is_understood(fleet):
    with AUSTEN_SHORT.path.open("rb") as recording:
        fleet.files.keep_recording("old", recording)
    fleet.add("old")
    app = celery_app(fleet.settings)
    app.send_task("pam_voice.perform", ["old"], queue=BEFORE, ignore_result=True)
    assert fleet.ended("old").state == SUCCEEDED


@pytest.mark.long
@pytest.mark.parametrize("divided", [False, True])
def test_a_job_whose_messages_were_swallowed_is_done(tmp_path, minute, divided):
    """As kombu does that has taken one, and is killed before it has written that down."""
    with started(tmp_path / "f", JOB_PART_MINUTES="1") as fleet:
        if divided:
            fleet.submit("a", minute)
            held = fleet.store.claim("a", time.time(), "w")
            clips = [{"clip": Clip(0.0, 40.0)}, {"clip": Clip(40.0, 75.0)}]
            assert len(fleet.store.split(held, clips)) == 2
        else:
            fleet.submit("a")
        with connect(fleet.redis.url) as client:
            assert client.delete(QUEUE.name) == 1
        fleet.worker()
        job = fleet.ended("a")
        assert (job.state, job.failures) == (SUCCEEDED, 0)
        assert understood(job.text, read_aloud_text(3) if divided else AUSTEN_SHORT.text)


@pytest.mark.long
def test_parts_that_were_lost_are_done_again_and_counted_by_their_chord(tmp_path, four_minutes):
    """One whose message was swallowed, and one whose worker was killed: Celery joins, as if nothing had been."""
    with started(tmp_path / "f", JOB_PART_MINUTES="1") as fleet, connect(fleet.redis.url) as client:
        first = fleet.worker()
        fleet.submit("a", four_minutes)
        until(lambda: fleet.store.get("a").seconds_done > 0, "a part is begun", said=fleet.said)
        first.kill()
        assert client.rpop(BEHIND)
        fleet.worker()
        job = fleet.ended("a")
        assert (job.state, job.extra["parts"]) == (SUCCEEDED, 5)
        assert understood(job.text, read_aloud_text(10))
        until(lambda: not client.keys("celery-taskset-meta-*"), "the chord is over", said=fleet.said)
        assert "job=a waits" not in fleet.said()  # nobody else had to send the task that joins


@pytest.mark.long
def test_rabbitmq_gives_out_the_work_as_redis_does(tmp_path, minute):
    """Whole, in parts, after a worker that was lost, and after RabbitMQ itself was killed."""
    with (
        contextlib.closing(RabbitMQ(tmp_path / "rabbit")) as rabbit,
        started(tmp_path / "f", rabbit.url, JOB_PART_MINUTES="1") as fleet,
    ):
        first = fleet.worker()
        fleet.submit("a")
        assert fleet.ended("a").state == SUCCEEDED
        fleet.has_parts_done_by_another(first, minute)
        rabbit.kill()
        rabbit.start()
        fleet.submit("b")
        assert fleet.ended("b").state == SUCCEEDED


def test_what_is_no_recording_fails_at_once_and_can_be_requeued(fleet, tmp_path):
    path = tmp_path / "letter.wav"
    path.write_text("Dear sir, this is a letter.")
    fleet.submit("letter", path)
    job = fleet.ended("letter")
    assert (job.state, job.attempt, job.error["code"]) == (FAILED, 1, "invalid_audio")
    assert [one.id for one in fleet.store.page("", state=FAILED, before="", limit=9)][:1] == ["letter"]
    assert fleet.store.requeue("letter")
    fleet.queue.changed(fleet.store.get("letter"))
    again = fleet.ended("letter")
    assert (again.attempt, again.error["code"]) == (2, "invalid_audio")


def test_a_long_recording_is_done_in_parts_and_joined(fleet, minute):
    fleet.submit("long", minute, language="en")
    job = fleet.ended("long")
    assert job.state == SUCCEEDED
    assert job.extra["parts"] == 2
    assert understood(job.text, read_aloud_text(3))
    assert job.seconds_done == job.result["duration"] == pytest.approx(73.4, abs=0.5)
    found = segments(fleet, "long")
    assert [segment.id for segment in found] == list(range(1, len(found) + 1))
    assert [segment.start for segment in found] == sorted(segment.start for segment in found)
    assert found[-1].end == pytest.approx(73, abs=2)
    until(lambda: left(fleet, "long") == ["result"], "the recording goes once there is a result")
    assert fleet.store.counts(time.time()).by_state[QUEUED] == 0


@pytest.mark.long
def test_a_whole_job_comes_before_the_parts_of_one_that_came_earlier(fleet, four_minutes):
    fleet.submit("hours", four_minutes)
    until(lambda: fleet.store.get("hours").seconds_done > 0, "a part is begun", said=fleet.said)
    fleet.submit("short")
    sent_at = time.time()
    short = fleet.ended("short")
    assert short.state == SUCCEEDED
    parts = fleet.store.parts(fleet.store.get("hours"))
    assert len(parts) == 5
    before = [part for part in parts if sent_at < (part.finished_at or math.inf) < short.started_at]
    assert len(before) <= 2  # that which ran, and one taken with it
    assert fleet.ended("hours").state == SUCCEEDED


def test_a_cancelled_job_stops_and_the_next_begins(fleet, four_minutes):
    fleet.submit("unwanted", four_minutes)
    until(lambda: fleet.store.get("unwanted").seconds_done > 0, "it has begun", said=fleet.said)
    fleet.store.cancel("unwanted", time.time())
    fleet.submit("wanted")
    assert fleet.ended("wanted").state == SUCCEEDED
    assert fleet.store.get("unwanted").state == CANCELLED
    assert fleet.store.counts(time.time()).by_state[RUNNING] == 0


@pytest.mark.long
def test_a_worker_that_is_ended_hands_its_job_back(tmp_path, four_minutes):
    with started(tmp_path / "f") as fleet:
        first = fleet.worker()
        fleet.submit("a", four_minutes)
        until(lambda: fleet.store.get("a").seconds_done > 0, "it has begun", said=fleet.said)
        assert first.stop() == 0
        job = fleet.store.get("a")
        assert (job.state, job.attempt, job.failures) == (QUEUED, 1, 0)
        fleet.worker()
        until(lambda: fleet.store.get("a").attempt == 2, "another begins it", said=fleet.said)
        assert fleet.store.get("a").failures == 0


def test_a_process_that_ends_waits_for_the_main_process_less_than_hosts_wait_for_both():
    """One in three workers that were told to end took 33 s: their main process had read half of a result, and left."""
    read = "from billiard import pool; print(pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT, "
    read += "pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL)"
    done = subprocess.run(
        [sys.executable, "-c", f"import app.jobs.fleet.worker; {read}"],
        cwd=PROJECT,
        env={**os.environ, "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        check=True,
    )
    times, seconds = done.stdout.split()
    assert int(times) * float(seconds) <= 5


@pytest.mark.long
def test_the_job_of_a_worker_that_is_lost_is_done_by_another(tmp_path, half_minute):
    with started(tmp_path / "f") as fleet:
        first = fleet.worker()
        fleet.submit("a", half_minute)
        until(lambda: fleet.store.get("a").state == RUNNING, "it has begun", said=fleet.said)
        first.kill()
        fleet.worker()
        job = fleet.ended("a")
        assert (job.state, job.attempt, job.failures) == (SUCCEEDED, 2, 1)
        assert understood(job.text, read_aloud_text(2))


@pytest.mark.long
def test_redis_may_be_killed_and_started_again_in_mid_job(tmp_path, half_minute):
    with started(tmp_path / "f") as fleet:
        fleet.worker()
        fleet.submit("a", half_minute)
        fleet.submit("b")
        until(lambda: fleet.store.get("a").seconds_done > 0, "it has begun", said=fleet.said)
        fleet.redis.kill()
        fleet.redis.start()
        assert fleet.ended("a").state == SUCCEEDED
        assert fleet.ended("b").state == SUCCEEDED
        assert fleet.store.get("a").attempt == 1
