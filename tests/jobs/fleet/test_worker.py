"""Real workers on a real Redis: every job is done, and ends once, whatever happens to its message or its worker."""

import time

import pytest

from app.jobs.files import read_segments
from app.jobs.job import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED
from tests.likeness import understood
from tests.processes import until
from tests.recordings import AUSTEN_SHORT

from .machines import read_aloud_text, started


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
        fleet.queue.send(job.id)
    fleet.ended("twice")
    fleet.submit("after")
    fleet.ended("after")
    assert fleet.store.get("twice").attempt == 1


def test_a_message_for_a_job_nobody_knows_is_dropped(fleet):
    fleet.queue.send("unheard-of")
    fleet.submit("next")
    assert fleet.ended("next").state == SUCCEEDED


@pytest.mark.long
def test_a_job_whose_sender_died_before_the_message_is_done(fleet):
    with AUSTEN_SHORT.path.open("rb") as recording:
        fleet.files.keep_recording("untold", recording)
    fleet.add("untold")
    assert fleet.ended("untold").state == SUCCEEDED


@pytest.mark.long
def test_a_job_whose_message_was_lost_is_done(fleet):
    with AUSTEN_SHORT.path.open("rb") as recording:
        fleet.files.keep_recording("lost", recording)
    fleet.add("lost")
    fleet.store.mark_published("lost")
    assert fleet.ended("lost").state == SUCCEEDED


def test_what_is_no_recording_fails_at_once_and_can_be_requeued(fleet, tmp_path):
    path = tmp_path / "letter.wav"
    path.write_text("Dear sir, this is a letter.")
    fleet.submit("letter", path)
    job = fleet.ended("letter")
    assert (job.state, job.attempt, job.error["code"]) == (FAILED, 1, "invalid_audio")
    assert [one.id for one in fleet.store.page("", state=FAILED, before="", limit=9)] == ["letter"]
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
    assert fleet.store.counts(time.time()).queued == 0


def test_a_cancelled_job_stops_and_the_next_begins(fleet, minute):
    fleet.submit("unwanted", minute)
    until(lambda: fleet.store.get("unwanted").seconds_done > 0, "it has begun", said=fleet.said)
    fleet.store.cancel("unwanted", time.time())
    fleet.submit("wanted")
    assert fleet.ended("wanted").state == SUCCEEDED
    assert fleet.store.get("unwanted").state == CANCELLED
    assert fleet.store.counts(time.time()).running == 0


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
