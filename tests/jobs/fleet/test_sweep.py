"""What workers do for jobs that nobody works on."""

import contextlib

import pytest

from app.config import Settings
from app.errors import BrokerUnavailable
from app.jobs.files import LocalFiles
from app.jobs.fleet.records import PREFIX
from app.jobs.fleet.sweep import Sweep
from app.jobs.fleet.transactions import connect
from app.jobs.job import FAILED, QUEUED, RUNNING, SUCCEEDED, Job
from app.jobs.webhooks import Webhooks

ROOM = 1 << 30


class Told:
    """A queue that notes whom workers were told of."""

    def __init__(self, store):
        self.ids, self.store = [], store

    def send(self, id):
        self.ids.append(id)
        self.store.mark_published(id)


class Machine:
    """A worker's sweep, which sweeps when it is told to."""

    def __init__(self, store, folder, url):
        self.store, self.url = store, url
        self.files, self.queue, self.idle = LocalFiles(folder), Told(store), False
        self._sweep = Sweep(
            store,
            self.files,
            self.queue,
            Webhooks(store, Settings()),
            idle=lambda: self.idle,
            attempts=2,
            keep_seconds=3600,
        )

    def begun(self, id="a"):
        self.store.add(Job(id, "transcribe", {}, created_at=100.0), ROOM)
        return self.store.claim(id, 300.0, "w")

    def forget_lease(self, id="a"):
        with connect(self.url) as client:
            client.delete(f"{PREFIX}lease:{id}")

    def sweep(self, now=300.0):
        self.queue.ids.clear()
        self._sweep.sweep(now)
        return list(self.queue.ids)


@pytest.fixture
def machine(store, redis_server, tmp_path):
    return Machine(store, tmp_path, redis_server.url)


def test_whoever_was_not_told_of_is_told_of(machine):
    machine.store.add(Job("a", "transcribe", {}, created_at=100.0), ROOM)
    assert machine.sweep(104.0) == []
    assert machine.sweep(105.0) == ["a"]
    assert machine.sweep(106.0) == []


def test_a_job_nobody_holds_twice_in_a_row_goes_to_another(machine):
    machine.begun()
    machine.forget_lease()
    machine.sweep()
    assert machine.store.get("a").state == RUNNING
    assert machine.sweep() == []
    job = machine.store.get("a")
    assert (job.state, job.failures) == (QUEUED, 1)
    assert machine.sweep() == ["a"]


def test_a_worker_that_was_not_heard_for_a_moment_keeps_its_job(machine):
    job = machine.begun()
    machine.forget_lease()
    machine.sweep()
    assert machine.store.renew_lease(job)
    machine.sweep()
    assert machine.store.get("a").state == RUNNING


def test_a_job_that_loses_all_its_workers_is_given_up(machine):
    for _ in range(2):
        machine.begun()
        machine.forget_lease()
        machine.sweep()
        machine.sweep()
    job = machine.store.get("a")
    assert (job.state, job.failures) == (FAILED, 2)
    assert "2 workers were lost" in job.error["message"]


def test_a_part_nobody_can_do_ends_its_job(machine):
    parts = machine.store.split(machine.begun(), [{"clip": [0, 1]}, {"clip": [1, 2]}])
    for _ in range(2):
        machine.store.claim(parts[1].id, 300.0, "w")
        machine.forget_lease(parts[1].id)
        machine.forget_lease()
        machine.sweep()
        machine.sweep()
    machine.sweep()
    job = machine.store.get("a")
    assert (job.state, job.error["code"]) == (FAILED, "internal_error")
    assert machine.store.claim(parts[0].id, 300.0, "w") is None


def test_parts_are_told_of_one_after_the_other(machine):
    parts = machine.store.split(machine.begun(), [{"clip": [n, n + 1]} for n in range(3)])
    with contextlib.closing(connect(machine.url)) as client:
        due = client.zrange(f"{PREFIX}hints", 0, -1, withscores=True)
    assert [id for id, _ in due] == [part.id for part in parts]
    assert [round(at - due[0][1]) for _, at in due] == [0, 30, 60]
    machine.store.mark_published(parts[0].id)
    assert machine.store.next_unpublished_part("a") == parts[1].id


def test_only_a_worker_that_stays_idle_looks_for_lost_messages(machine):
    machine.store.add(Job("a", "transcribe", {}, created_at=100.0), ROOM)
    machine.store.mark_published("a")
    assert machine.sweep() == []
    machine.idle = True
    assert machine.sweep() == []  # its message may be on its way
    assert machine.sweep() == ["a"]
    machine.idle = False
    assert machine.sweep() == []


def test_what_has_expired_goes_with_its_files(machine):
    with machine.files.new_result("a") as output:
        output.write(b"found")
    machine.store.finish(machine.begun(), SUCCEEDED, 300.0)
    machine.sweep(300.0 + 3601)
    assert machine.store.get("a") is None
    assert list(machine.files.directory.iterdir()) == []


def test_a_broker_that_is_away_is_met_again_at_the_next_sweep(machine):
    machine.store.add(Job("a", "transcribe", {}, created_at=100.0), ROOM)

    def away(id):
        raise BrokerUnavailable("away")

    machine.queue.send, send = away, machine.queue.send
    with pytest.raises(BrokerUnavailable):
        machine.sweep()
    machine.queue.send = send
    assert machine.sweep() == ["a"]
