"""What a worker does with a message: whose job it is, who lost one, and what was swallowed."""

import contextlib
import time

import pytest

from app.config import Settings
from app.jobs.files import LocalFiles
from app.jobs.fleet.performer import NotNow, Performer, Sweep
from app.jobs.fleet.store import PREFIX, SENT
from app.jobs.fleet.transactions import connect
from app.jobs.job import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED, Job
from app.jobs.webhooks import Webhooks

from ..conftest import ANY_AUDIO, TellingSpeech

ROOM = 1 << 30


class Told:
    """A queue that notes what workers were told of."""

    def __init__(self, store):
        self.ids, self.looks, self.store = [], [], store

    def send(self, job):
        self.ids.append(job.id)
        self.store.note_sent(job.id)

    changed = send

    def look_after(self, now):
        self.looks.append(now)


class Machine:
    """A process of a worker, without Celery."""

    def __init__(self, store, folder, url):
        self.store, self.url, self.queue = store, url, Told(store)
        self.files, self.speech = LocalFiles(folder), TellingSpeech()
        settings = Settings(job_attempts=2, job_ttl_hours=1, job_part_minutes=0)
        self.performer = Performer(
            store, self.files, self.speech, settings, ANY_AUDIO, self.queue, lambda: False, self.waited
        )
        self.meanwhile = lambda: None

    def waited(self, seconds):
        self.meanwhile()

    def add(self, id="a", **fields):
        return self.store.add(Job(id, "transcribe", {}, created_at=100.0, **fields), ROOM)

    def begun(self, id="a", **fields):
        self.add(id, **fields)
        return self.store.claim(id, 300.0, "w")

    def forget_lease(self, id="a"):
        with connect(self.url) as client:
            client.delete(f"{PREFIX}lease:{id}")

    def look_after(self, sent_at, behind=False):
        self.queue.ids.clear()
        self.performer.look_after(sent_at, behind=behind)
        return sorted(self.queue.ids)


@pytest.fixture
def machine(store, tmp_path, redis_server):
    return Machine(store, tmp_path / "jobs", redis_server.url)


def clips(*ends):
    return [{"clip": [start, end]} for start, end in zip((0, *ends), ends, strict=False)]


def test_a_message_too_many_comes_back_while_the_holder_lives(machine):
    held = machine.begun()
    with pytest.raises(NotNow) as wait:
        machine.performer.claim("a")
    assert 0 < wait.value.seconds <= 30
    assert machine.store.progress(held)


def test_a_message_that_is_early_comes_back_when_its_job_is_due(machine):
    machine.store.put_back(machine.begun(), time.time() + 500)
    with pytest.raises(NotNow) as wait:
        machine.performer.claim("a")
    assert 490 < wait.value.seconds <= 500


@pytest.mark.parametrize("state", ["unknown", CANCELLED, SUCCEEDED, FAILED])
def test_a_message_for_a_job_that_has_ended_says_nothing(machine, state):
    if state != "unknown":
        machine.store.finish(machine.begun(), state, 300.0)
    assert machine.performer.claim("a") is None


def test_the_job_of_a_lost_worker_is_gone_on_with(machine):
    held = machine.begun()
    held.resume = {"seconds": 10.0, "characters": 3, "attempt": held.attempt}
    held.text = "one two"
    machine.store.progress(held, [b"one\n"])
    half = machine.files.directory / "a" / ".result-12ab.part"
    half.parent.mkdir()
    half.write_bytes(b"half")
    machine.forget_lease()
    job = machine.performer.claim("a")
    assert (job.attempt, job.failures, job.text, job.seconds_done) == (2, 1, "one", 10.0)
    assert not machine.store.progress(held)
    assert not half.exists()


def test_a_worker_that_was_not_heard_for_a_moment_keeps_its_job(machine):
    held = machine.begun()
    machine.forget_lease()
    machine.meanwhile = lambda: machine.store.renew_lease(held)
    with pytest.raises(NotNow):
        machine.performer.claim("a")
    assert machine.store.progress(held)


def test_a_job_that_loses_all_its_workers_is_given_up(machine):
    machine.begun()
    machine.forget_lease()
    assert machine.performer.claim("a").failures == 1
    machine.forget_lease()
    assert machine.performer.claim("a") is None
    job = machine.store.get("a")
    assert (job.state, job.failures) == (FAILED, 2)
    assert "2 workers were lost" in job.error["message"]


def test_parts_go_on_writing_when_the_worker_of_another_part_is_lost(machine):
    """Their results are in one directory."""
    first, second = machine.store.split(machine.begun(), clips(1, 2))
    machine.performer.claim(first.id)
    with machine.files.new_result(first.id) as output:
        output.write(b"first")
        machine.performer.claim(second.id)
        machine.forget_lease(second.id)
        assert machine.performer.claim(second.id).failures == 1
    with machine.files.result(first.id) as result:
        assert result.read() == b"first"


def test_a_part_nobody_can_do_ends_its_job(machine):
    first, second = machine.store.split(machine.begun(), clips(1, 2))
    machine.performer.claim(second.id)
    machine.forget_lease(second.id)
    machine.performer.claim(second.id)
    machine.forget_lease(second.id)
    assert machine.performer.claim(second.id) is None
    job = machine.store.get("a")
    assert (job.state, job.error["code"]) == (FAILED, "internal_error")
    assert machine.queue.ids == ["a"]  # Celery is told by the task that joins
    assert machine.performer.claim(first.id) is None


def test_a_job_is_joined_once_all_its_parts_are_there(machine):
    parts = machine.store.split(machine.begun(), clips(20, 40))
    for part in parts:
        assert machine.store.get("a").state == RUNNING
        machine.performer.join("a")
        with machine.files.new_result(part.id):
            pass
        claimed = machine.performer.claim(part.id)
        claimed.result = {"duration": claimed.params["clip"][1]}
        assert machine.look_after(time.time() + 100, behind=True) != ["a"]
        machine.store.finish(claimed, SUCCEEDED, 400.0)
    assert machine.look_after(time.time() + 100, behind=True) == ["a"]  # its join was swallowed
    machine.performer.join("a")
    machine.performer.join("a")
    assert machine.store.get("a").state == SUCCEEDED
    assert machine.store.get("a").result == {"duration": 40}
    assert [path.name for path in (machine.files.directory / "a").iterdir()] == ["result"]


def test_what_was_swallowed_is_sent_again_once(machine):
    """By who was sent to look when all messages before had come: those of ten minutes ago have."""
    machine.add("waits")
    machine.add("later", due_at=2000.0)
    machine.begun("held")
    machine.begun("lost")
    machine.forget_lease("lost")
    assert machine.look_after(159.0) == []
    assert machine.look_after(310.0) == ["waits"]
    assert machine.look_after(320.0) == ["lost"]
    now = time.time()
    assert machine.look_after(now) == ["later"]
    assert machine.look_after(now) == []  # sent just now, they may still be in the queue
    assert machine.look_after(now + 100) == ["later", "lost", "waits"]


def test_parts_are_looked_after_behind_whole_jobs(machine):
    parts = machine.store.split(machine.begun(), clips(1, 2))
    later = time.time() + 100
    assert machine.look_after(later) == []
    assert machine.look_after(later, behind=True) == [part.id for part in parts]


def test_a_job_that_a_release_before_had_queued_is_not_forgotten(machine):
    """It did not note when it had sent their messages."""
    machine.add()
    with connect(machine.url) as client:
        client.delete(SENT)
    assert machine.look_after(200.0) == ["a"]


def test_what_has_expired_goes_with_its_files(machine):
    with machine.files.new_result("a") as output:
        output.write(b"found")
    machine.store.finish(machine.begun(), SUCCEEDED, time.time() - 3601)
    machine.look_after(time.time(), behind=True)
    assert machine.store.get("a") is not None
    machine.look_after(time.time())
    assert machine.store.get("a") is None
    assert list(machine.files.directory.iterdir()) == []


def test_one_worker_of_many_has_the_jobs_looked_after(machine, store):
    sweeps = [Sweep(store, machine.queue, Webhooks(store, Settings())) for _ in range(3)]
    for sweep in sweeps:
        sweep.sweep(300.0)
    assert machine.queue.looks == [300.0]
    assert store.counts(0.0).workers == 1  # the name is that of the process
    with contextlib.closing(connect(machine.url)) as client:
        client.delete(f"{PREFIX}looked")
    sweeps[1].sweep(315.0)
    assert machine.queue.looks == [300.0, 315.0]
    assert store.get("nobody") is None


def test_a_job_whose_attempt_failed_waits_for_celery_alone(machine):
    machine.add(size_bytes=9, extra={"caller": "test"})
    recording = machine.files.directory / "a" / "recording"
    recording.parent.mkdir()
    recording.write_bytes(b"recording")
    machine.speech.words = ["one", ValueError("no")]
    assert machine.performer.perform(machine.performer.claim("a"), lambda job: None) == []
    job = machine.store.get("a")
    assert (job.state, job.failures) == (QUEUED, 1)
    assert job.due_at <= time.time()
