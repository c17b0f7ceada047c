"""The real Flower, as docs/jobs.md starts it, beside a real worker."""

import contextlib
import http.client
import json
import os
import subprocess
from pathlib import Path

import pytest

from app.config import PROJECT
from app.jobs.job import CANCELLED, FAILED
from tests.processes import free_port, until

from .machines import CELERY, started


class Flower:
    """Started for the jobs of *fleet*; `task` is what its API says of one."""

    def __init__(self, fleet, folder):
        self.port = free_port()
        self._log = (folder / "flower.log").open("w+")
        self._process = subprocess.Popen(
            [*CELERY, "flower", "--address=127.0.0.1", f"--port={self.port}"],
            cwd=PROJECT,
            env={**os.environ, **fleet.environment, "FLOWER_UNAUTHENTICATED_API": "true"},
            stdout=self._log,
            stderr=self._log,
        )
        until(self._answers, "Flower answers", said=lambda: Path(self._log.name).read_text())

    def _answers(self):
        with contextlib.suppress(OSError):
            return self.request("GET", "/api/tasks") == {}
        return False

    def request(self, method, path, body=None):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body)
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200, said
            return json.loads(said)

    def task(self, id):
        return self.request("GET", "/api/tasks?limit=100").get(id, {})

    def shows(self, id, state):
        until(lambda: self.task(id).get("state") == state, f"Flower shows {id} as {state}")
        return self.task(id)

    def close(self):
        self._process.kill()
        self._process.wait()
        self._log.close()


@pytest.mark.long
def test_flower_shows_a_job_with_its_name_state_and_progress(tmp_path, four_minutes):
    with (
        started(tmp_path / "f", JOB_PART_MINUTES="0") as fleet,
        contextlib.closing(Flower(fleet, tmp_path)) as flower,
    ):
        fleet.worker()
        fleet.submit("begun", four_minutes)
        fleet.submit("letter", Path(__file__))
        begun = flower.shows("begun", "PROGRESS")
        assert (begun["name"], begun["args"]) == ("pam_voice.transcribe", "['begun']")
        assert begun["worker"] == "w0@here"
        until(lambda: flower.task("begun")["result"] not in ("0 s", None), "Flower shows how far it is")
        assert 0 < float(flower.task("begun")["result"].removesuffix(" s")) <= 245
        flower.request("POST", "/api/task/revoke/begun?terminate=true", "")
        assert fleet.ended("begun").state == CANCELLED
        flower.shows("begun", "CANCELLED")
        assert fleet.ended("letter").state == FAILED
        assert "invalid_audio" in flower.shows("letter", "FAILURE")["exception"]
        flower.request("POST", "/api/task/async-apply/pam_voice.requeue", '{"args": ["letter"]}')
        until(lambda: fleet.store.get("letter").attempt == 2, "it is done again", said=fleet.said)
        job = fleet.add("late")
        fleet.queue.changed(job)
        assert "is gone" in flower.shows("late", "FAILURE")["exception"]
        with four_minutes.open("rb") as file:
            fleet.files.keep_recording("late", file)
        fleet.jobs.requeue(fleet.store.get("late"))
        flower.shows("late", "PROGRESS")


@pytest.mark.long
def test_flower_shows_the_parts_of_a_long_recording(tmp_path, minute):
    with (
        started(tmp_path / "f", JOB_PART_MINUTES="1") as fleet,
        contextlib.closing(Flower(fleet, tmp_path)) as flower,
    ):
        fleet.worker()
        fleet.submit("whole", minute)
        fleet.ended("whole")
        assert flower.shows("whole", "SUCCESS")["name"] == "pam_voice.join"
        for id in ("whole~1~0", "whole~1~1"):
            part = flower.shows(id, "SUCCESS")
            assert (part["name"], part["root_id"]) == ("pam_voice.part", "whole")
