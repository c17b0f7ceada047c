"""
Jobs in the service, and everything that can end it. In `make test-all` a short form, `make chaos` the full one.
"""

import os
import shutil
import signal
import subprocess

import pytest

from app import memory
from tests.server import Server

from .ordeal import JOBS, SETTINGS, Ordeal

SPEAK = "/api/v1/pam/voice/speak"

FULL = os.environ.get("CHAOS") == "full"
KILLS, COUNT, SEED = (50, 30, 8) if FULL else (6, 6, 8)
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.mark.parametrize("workers", ["1", "2"] if FULL else ["2"])
def test_killed_at_random_every_job_ends_once_and_right(workers, capsys):
    with Server(WEB_CONCURRENCY=workers, **SETTINGS) as server:
        ordeal = Ordeal(server, seed=SEED)
        ordeal.go_through(jobs=COUNT, kills=KILLS, longest_pause=2.0, seconds=1800 if FULL else 600)
    if FULL:
        roles = [killed.role for killed in ordeal.killed]
        with capsys.disabled():
            counted = ", ".join(f"{roles.count(role)} {role}" for role in sorted(set(roles)))
            print(
                f"\n{COUNT} jobs, {KILLS} kills ({counted}), {workers} web worker(s): all ended once and right"
            )


@pytest.mark.long
def test_a_database_broken_at_the_start_loses_no_job(tmp_path):
    with Server(DATA_DIR=str(tmp_path), **SETTINGS) as server:
        ordeal = Ordeal(server, seed=SEED)
        for _ in range(2):
            ordeal.submit()
        for process in memory.service(server.process.pid):
            os.kill(process.pid, signal.SIGKILL)
        database = tmp_path / "jobs" / "jobs.sqlite3"
        with database.open("r+b") as file:
            file.write(b"\xff" * 5000)
        database.with_name("jobs.sqlite3-wal").write_bytes(b"")  # it would heal the other
        ordeal.restart()
        ordeal.wait_until_all_ended(600)
        ordeal.check()
        (aside,) = tmp_path.glob("jobs.sqlite3.broken-*Z")
        assert "is broken" in server.log
        health = server.get("/health").json
        assert health["status"] == "degraded"
        assert aside.name in health["checks"]["jobs"]["reason"]
        assert aside.read_bytes().startswith(b"\xff" * 5000)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 48 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs", disk], check=True)
    yield disk
    subprocess.run([umount, disk], check=True)


def fill(path):
    """Take what is left of the disk."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


@pytest.mark.long
@NEEDS_ROOT
def test_a_full_disk_refuses_new_jobs_and_loses_none(small_disk):
    cache = {"TTS_CACHE_DIR": str(small_disk / "cache"), "TTS_CACHE_MB": "8"}
    with Server(DATA_DIR=str(small_disk), **{**SETTINGS, **cache}) as server:
        ordeal = Ordeal(server, seed=SEED)
        for _ in range(3):
            ordeal.submit()
        fill(small_disk / "others")
        answer = server.post(JOBS, {"text": "Hello."})
        assert (answer.status, answer.error["code"]) == (507, "insufficient_storage")
        for stream in (True, False):  # speech needs no disk that is kept
            spoken = server.post(SPEAK, {"text": f"Hello {stream}.", "stream": stream, "format": "wav"})
            assert (spoken.status, spoken.body[:4]) == (200, b"RIFF")
            assert len(spoken.body) > 10_000
        for job in server.get(JOBS).json["jobs"]:
            if job["state"] == "succeeded":  # before the disk was full: to remove it would make room
                continue
            assert server.request("DELETE", f"{JOBS}/{job['id']}").status in (202, 204, 507)
        web = [one.pid for one in memory.service(server.process.pid) if one.role == "web"]
        os.kill(web[0], signal.SIGKILL)  # and the next one starts on a full disk
        assert ordeal._insist("GET", "/health/live").status == 200
        (small_disk / "others").unlink()
        ordeal.wait_until_all_ended(600)
        ordeal.check()
        assert (
            ordeal._insist("POST", JOBS, b'{"text": "Hi."}', {"Content-Type": "application/json"}).status
            == 202
        )


@pytest.mark.long
@NEEDS_ROOT
def test_an_upload_that_would_fill_the_disk_is_refused_and_leaves_nothing(small_disk):
    """With its length before it is read, without as soon as it shows."""
    with Server(DATA_DIR=str(small_disk), **SETTINGS) as server:
        ordeal = Ordeal(server, seed=SEED)
        headers = {"Content-Type": "audio/wav"}
        told = server.request("POST", JOBS, b"x" * (24 << 20), headers)
        untold = server.request("POST", JOBS, (b"x" * (1 << 20) for _ in range(24)), headers)
        for answer in (told, untold):
            assert (answer.status, answer.error["code"]) == (507, "insufficient_storage")
        assert [path.name for path in (small_disk / "jobs").iterdir() if path.is_dir()] == []
        disk = os.statvfs(small_disk)
        assert disk.f_bfree * disk.f_frsize > 45 << 20
        ordeal.submit()
        ordeal.wait_until_all_ended(600)
        ordeal.check()
