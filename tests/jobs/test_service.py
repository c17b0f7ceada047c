"""What `/health` says of jobs: each thing that is wrong, by its name, with what to do; and that it is well again."""

import shutil

import pytest

from app.config import Settings
from app.errors import InsufficientStorage
from app.files import nameless
from app.jobs.files import SharedStorage, storage_problem
from app.jobs.files import build as build_files
from app.jobs.job import Job
from app.jobs.service import Jobs, build, build_fleet, checks

from .conftest import NEEDS_REDIS
from .fleet.machines import Redis, patient


def look(settings, jobs=None, build=None):
    """What is wrong, by the name of the check."""
    return {check.name: check.reason for check in checks(settings, jobs, build or (lambda: jobs))}


@pytest.fixture
def redis(tmp_path):
    """One that a test may end."""
    server = Redis(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def fleet(redis, tmp_path):
    """The settings and jobs of a web worker, with a worker that was just seen."""
    settings = Settings(celery_broker_url=redis.url, data_dir=str(tmp_path / "data"))
    with patient():
        store, files, queue = build_fleet(settings)
    store.note_worker("there/1")
    yield settings, Jobs(store, files, queue, 1 << 30, None)
    queue.close()
    store.close()


@NEEDS_REDIS
def test_with_everything_there_all_is_well(fleet):
    assert look(*fleet) == {"jobs": "", "job workers": "", "job storage": ""}


@NEEDS_REDIS
def test_without_a_worker_jobs_wait_and_it_is_told_until_one_is_seen(fleet):
    settings, jobs = fleet
    jobs.store.forget_worker("there/1")
    assert "no worker" in look(settings, jobs)["job workers"]
    assert jobs.counts().workers == 0
    jobs.store.note_worker("there/2")
    assert look(settings, jobs)["job workers"] == ""
    assert jobs.counts().workers == 1


@NEEDS_REDIS
def test_a_worker_that_says_nothing_any_more_is_not_there(fleet, redis):
    """Redis's clock tells: those of the machines may differ."""
    _, jobs = fleet
    with jobs.store._redis as client:
        client.zincrby("pam-voice:workers", -11, "there/1")
    assert jobs.counts().workers == 0
    jobs.store.note_worker("there/2")
    with jobs.store._redis as client:
        assert client.zrange("pam-voice:workers", 0, -1) == ["there/2"]


@NEEDS_REDIS
def test_redis_away_is_told_and_forgotten_when_it_is_back(fleet, redis):
    redis.kill()
    found = look(*fleet)
    assert "does not answer" in found["jobs"]
    assert "REDIS_URL" in found["jobs"]
    assert found["job storage"] == ""
    redis.start()
    assert look(*fleet)["jobs"] == ""


@NEEDS_REDIS
def test_a_redis_that_is_full_is_told(fleet):
    """It answers, and takes no job."""
    settings, jobs = fleet
    with jobs.store._redis as client:
        client.config_set("maxmemory", 1)
        assert "refuses it (OutOfMemoryError)" in look(settings, jobs)["jobs"]
        client.config_set("maxmemory", 0)
    assert look(settings, jobs)["jobs"] == ""


@NEEDS_REDIS
@pytest.mark.parametrize("url", ["", "file://{tmp_path}/shared"])
def test_a_directory_of_files_that_is_lost_is_told(redis, tmp_path, url):
    settings = Settings(
        celery_broker_url=redis.url,
        data_dir=str(tmp_path / "data"),
        job_storage_url=url.format(tmp_path=tmp_path),
    )
    with patient():
        store, files, queue = build_fleet(settings)
    jobs = Jobs(store, files, queue, 1 << 30, None)
    try:
        assert look(settings, jobs)["job storage"] == ""
        shutil.rmtree(files.directory)
        files.directory.write_text("a file in its place")
        assert "is not a directory" in look(settings, jobs)["job storage"]
    finally:
        queue.close()
        store.close()


@NEEDS_REDIS
@pytest.mark.parametrize("url", ["nosuch://bucket/jobs", "file://{tmp_path}/taken/jobs"])
def test_storage_that_can_not_be_used_is_a_507_for_each_job_and_told(redis, tmp_path, url):
    """It was a 500 for every job."""
    (tmp_path / "taken").write_text("no directory")
    settings = Settings(celery_broker_url=redis.url, job_storage_url=url.format(tmp_path=tmp_path))
    with pytest.raises(InsufficientStorage, match="JOB_STORAGE_URL"):
        build_fleet(settings)
    found = look(settings, build=lambda: build(settings, None, None, lambda: True))
    assert "JOB_STORAGE_URL" in found["jobs"]
    assert storage_problem(lambda: build_files(settings))


def test_shared_storage_is_tried_with_a_byte_that_is_removed(tmp_path):
    files = SharedStorage(f"file://{tmp_path}/jobs")
    assert files.problem() == ""
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
    shutil.rmtree(tmp_path / "jobs")
    (tmp_path / "jobs").write_text("a file in its place")
    assert SharedStorage(f"file://{tmp_path}/jobs").problem().startswith("no file can be written")
    assert files.problem() == ""  # for half a minute: each look may be paid for


@pytest.mark.parametrize("storage", ["", "memory://jobs"])
def test_storage_that_works_is_none_to_speak_of(tmp_path, storage):
    settings = Settings(data_dir=str(tmp_path / "data"), job_storage_url=storage)
    assert storage_problem(lambda: build_files(settings)) is None


def test_a_full_disk_is_told(files, monkeypatch):
    monkeypatch.setattr("app.jobs.files.KEPT_FREE_BYTES", 1 << 60)
    assert "is full" in files.problem()
    assert "is full" in look(Settings(data_dir=str(files.directory.parent)))["jobs"]


def test_space_for_jobs_that_is_nearly_used_up_is_told(store, files, accept):
    settings = Settings(data_dir=str(files.directory.parent), job_disk_mb=1)
    jobs = Jobs(store, files, None, 1 << 20, None)
    accept(size_bytes=900_000)
    assert look(settings, jobs)["jobs"] == ""
    last = accept(size_bytes=130_000)
    assert "jobs take 1.0 of 1 MB (JOB_DISK_MB)" in look(settings, jobs)["jobs"]
    store.remove(last.id)
    assert look(settings, jobs)["jobs"] == ""


@pytest.mark.parametrize("place", ["jobs", "jobs/jobs.sqlite3"])
def test_something_else_in_the_place_of_jobs_is_told(tmp_path, place):
    """Each job is then refused with 507."""
    (tmp_path / "jobs").mkdir()
    if place == "jobs":
        (tmp_path / "jobs").rmdir()
        (tmp_path / "jobs").write_text("no directory")
    else:
        (tmp_path / place).mkdir()
    settings = Settings(data_dir=str(tmp_path))
    with pytest.raises(InsufficientStorage):
        build(settings, None, None, lambda: True)
    found = look(settings, build=lambda: build(settings, None, None, lambda: True))
    assert "DATA_DIR" in found["jobs"]


def test_a_service_without_jobs_builds_nothing_to_tell(tmp_path):
    assert look(Settings(data_dir=str(tmp_path)), build=lambda: pytest.fail("built")) == {"jobs": ""}


def test_a_database_that_breaks_while_it_serves_is_told(store, files, accept):
    settings, jobs = Settings(data_dir=str(files.directory.parent)), Jobs(store, files, None, 1 << 30, None)
    accept()
    assert look(settings, jobs)["jobs"] == ""
    for path in files.directory.glob("jobs.sqlite3*"):
        path.write_bytes(b"\xff" * path.stat().st_size)
    assert "can't be read" in look(settings, jobs)["jobs"]


def test_what_runs_says_when_it_last_got_further(store, accept):
    assert store.counts(100.0).oldest_progress_seconds == 0.0
    first, second = accept(), accept()
    assert isinstance(first, Job)
    store.claim(first.id, 100.0, "here/1")
    later = store.claim(second.id, 110.0, "here/1")
    assert store.counts(130.0).oldest_progress_seconds == 30.0
    store.cancel(first.id, 130.0)
    later.progress_at = 125.0
    store.progress(later)
    assert store.counts(130.0).oldest_progress_seconds == 5.0


def test_the_recording_of_a_job_that_is_sent_again_is_not_kept_twice(tmp_path):
    jobs = build(Settings(data_dir=str(tmp_path)), None, None, lambda: True)
    try:
        with nameless(jobs.files.upload_directory) as recording:
            recording.write(b"recording")
            first = jobs.submit(Job("a", "transcribe", {}, idempotency_key="k"), recording)
        # It is closed by now: to keep it again would fail.
        assert jobs.submit(Job("b", "transcribe", {}, idempotency_key="k"), recording).id == first.id
    finally:
        jobs.queue.close()
