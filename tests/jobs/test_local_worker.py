"""Jobs in the service: what the thread does step by step, and what it finds after a crash."""

import json
import sqlite3
import threading

import pytest

from app.config import Settings
from app.files import nameless
from app.jobs.job import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED
from app.jobs.local_worker import ORPHAN_SECONDS
from app.jobs.service import build_fleet
from app.jobs.store_sqlite import BROKEN, DATABASE, open_store
from tests.processes import until

from .conftest import ANY_AUDIO


def test_a_step_is_one_job_and_then_nothing_is_due(thread, store, accept, clock):
    jobs = [accept(), accept()]
    assert thread.step() == 0.0
    assert [store.get(job.id).state for job in jobs] == [SUCCEEDED, QUEUED]
    assert thread.step() == 0.0
    assert thread.step() == pytest.approx(3600, abs=1)  # until the first is removed


def test_with_nothing_to_do_only_the_pipe_is_waited_for(thread):
    assert thread.step() is None


def test_a_job_that_is_to_be_tried_again_is_waited_for(thread, store, accept, clock):
    accept()
    store.put_back(store.claim_next(clock(), "w"), clock() + 30)
    assert thread.step() == pytest.approx(30, abs=0.1)


def test_what_has_ended_is_removed_when_its_time_is_over(thread, store, accept, files, clock):
    job = accept()
    thread.step()
    clock.advance(3599)
    thread.step()
    assert store.get(job.id) is not None
    clock.advance(2)
    assert thread.step() is None
    assert store.get(job.id) is None
    assert not (files.directory / job.id).exists()


def test_a_job_whose_runner_died_begins_anew(thread, store, accept, files, clock):
    job = accept()
    begun = store.claim_next(clock(), "w")
    begun.text = "half"
    store.progress(begun)
    (files.directory / job.id / "result-dead.part").write_bytes(b"half")
    thread.take_over()
    again = store.get(job.id)
    assert (again.state, again.text, again.failures) == (QUEUED, "", 1)
    thread.step()
    assert store.get(job.id).text == "one two"
    assert sorted(path.name for path in (files.directory / job.id).iterdir()) == ["job.json", "result"]


def test_a_job_that_ends_the_service_again_and_again_is_given_up(thread, store, accept, files, clock, caplog):
    caplog.set_level("INFO")
    job = accept()
    for number in range(3):
        store.claim_next(clock(), "w")
        (files.directory / job.id / f"result-{number}.part").write_bytes(b"half")
        thread.take_over()
        assert sorted(path.name for path in (files.directory / job.id).iterdir()) == ["job.json", "recording"]
    ended = store.get(job.id)
    assert (ended.state, ended.error["code"]) == (FAILED, "service_ended")
    assert "JOB_ATTEMPTS" in ended.error["message"]
    assert f"job={job.id} failed attempt=3 service_ended" in caplog.text


def test_files_that_belong_to_no_job_are_removed_once_they_are_old(thread, store, accept, files, clock):
    kept = accept()
    (files.directory / "orphan").mkdir()
    (files.directory / "orphan" / "recording").write_bytes(b"x")
    clock.now = (files.directory / "orphan").stat().st_ctime
    thread.take_over()
    assert (files.directory / "orphan").exists()  # it may belong to a job that is just being accepted
    clock.advance(ORPHAN_SECONDS + 2)
    thread.step()
    assert not (files.directory / "orphan").exists()
    assert (files.directory / kept.id).exists()


def test_the_files_of_workers_jobs_stay_while_they_may_come_back(thread, accept, files, clock):
    """Who takes CELERY_BROKER_URL away at night, because Redis is away, must not lose what Redis knows of."""
    settings = Settings(celery_broker_url="redis://127.0.0.1:1/0", data_dir=str(files.directory.parent))
    _, of_workers, _ = build_fleet(settings)
    with open(files.directory / "upload", "w+b") as upload:
        of_workers.keep_recording("job-of-redis", upload)
    directory = files.directory / "job-of-redis"
    clock.now = directory.stat().st_ctime
    thread.take_over()
    clock.advance(ORPHAN_SECONDS + 2)
    thread.step()
    assert (directory / "recording").exists()
    clock.advance(Settings().job_ttl_hours * 3600)
    thread.take_over()
    assert not directory.exists()


def test_only_one_thread_runs_jobs_and_the_next_takes_over(thread, store, accept, files, clock, speech):
    begun, let_go = threading.Event(), threading.Event()
    speech.words = [lambda: (begun.set(), let_go.wait(60)), "one"]
    job = accept()
    thread.start()
    assert begun.wait(60)
    successor = type(thread)(store, files, speech, thread.settings, ANY_AUDIO, lambda: True, clock)
    successor.start()
    assert not successor._has_lock.is_set()
    let_go.set()
    thread._closing.set()
    thread._wake()
    thread.join(60)
    assert successor._has_lock.wait(60)
    job = accept()
    successor.changed(job)
    until(lambda: store.get(job.id).state == SUCCEEDED, "the successor does the job")
    successor._closing.set()
    successor._wake()
    successor.join(60)


def test_closing_puts_the_running_job_back(thread, store, accept, speech, directory, clock):
    begun = threading.Event()
    speech.words = ["one", lambda: (begun.set(), thread._closing.wait(60)), "more", "more"]
    job = accept()
    thread.start()
    assert begun.wait(60)
    thread.close()
    reopened = open_store(directory)
    again = reopened.get(job.id)
    reopened.close()
    assert (again.state, again.failures) == (QUEUED, 0)


def test_the_webhook_of_a_job_that_is_cancelled_does_not_wait_for_the_job_that_runs(
    thread, store, accept, speech, clock
):
    begun, let_go = threading.Event(), threading.Event()
    speech.words = [lambda: (begun.set(), let_go.wait(60)), "one"]
    running, waiting = accept(), accept(webhook_url="https://127.0.0.1/")
    thread.start()
    assert begun.wait(60)
    thread.changed(store.cancel(waiting.id, clock()))
    until(lambda: store.get(waiting.id).webhook_state == "failed", "its address, no public one, is refused")
    assert store.get(running.id).state == RUNNING
    let_go.set()
    thread.close()


BREAKAGES = {
    "no database": lambda path: path.write_bytes(b"this is no database at all, and it never was one" * 100),
    "middle overwritten": lambda path: overwrite(path, 4096, b"\xff" * 8192),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100]),
    "emptied": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


def overwrite(path, offset, written):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(written)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_database_is_set_aside_and_no_job_is_lost(
    breakage, thread, store, accept, files, caplog, clock
):
    done, cancelled = accept(owner="a", created_at=1.0), accept(owner="a", created_at=2.0)
    thread.step()
    store.cancel(cancelled.id, clock())
    waiting, running = accept(owner="a", idempotency_key="k", created_at=3.0), accept(owner="b")
    store.put_back(store.claim(waiting.id, clock(), "w"), clock())
    store.claim(running.id, clock(), "w")
    store.close()
    BREAKAGES[breakage](files.directory / DATABASE)

    again = open_store(files.directory)
    try:
        states = {job.id: again.get(job.id).state for job in (done, cancelled, waiting, running)}
        assert states == {done.id: SUCCEEDED, cancelled.id: CANCELLED, waiting.id: QUEUED, running.id: QUEUED}
        assert again.get(done.id).text == "one two"
        assert again.find("a", "k").id == waiting.id
        assert [job.id for job in again.page("a", state="", before="", limit=9)] == [
            waiting.id, cancelled.id, done.id,
        ]  # fmt: skip
    finally:
        again.close()
    aside = [path.name for path in files.directory.parent.iterdir() if BROKEN in path.name]
    assert len(aside) == (breakage not in ("emptied", "gone"))
    if aside:
        assert "is broken" in caplog.text
        assert aside[0] in caplog.text


def test_a_copy_that_can_not_be_read_is_left_out(accept, store, files, caplog):
    kept, broken = accept(), accept()
    store.close()
    (files.directory / broken.id / "job.json").write_text("{")
    (files.directory / DATABASE).unlink()
    again = open_store(files.directory)
    assert (again.get(kept.id) is not None, again.get(broken.id)) == (True, None)
    again.close()
    assert broken.id in caplog.text


def test_a_database_that_can_not_be_opened_is_not_set_aside(files, tmp_path):
    (files.directory / DATABASE).mkdir()
    with pytest.raises((sqlite3.OperationalError, OSError)):
        open_store(files.directory)
    assert (files.directory / DATABASE).is_dir()


def test_a_copy_says_how_the_job_ended(thread, store, accept, files):
    job = accept()
    thread.step()
    copy = json.loads((files.directory / job.id / "job.json").read_text())
    assert (copy["state"], copy["text"], copy["result"]["language"]) == (SUCCEEDED, "one two", "en")


def test_a_job_that_runs_is_not_begun_twice(thread, store, accept, clock):
    accept()
    running = store.claim_next(clock(), "w")
    thread.step()
    assert store.get(running.id).state == RUNNING


def test_a_full_upload_is_no_orphan(files):
    with nameless(files.upload_directory) as file:
        file.write(b"x" * 100)
        assert list(files.directory.iterdir()) == []
