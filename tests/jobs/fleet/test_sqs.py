"""Amazon's queues as broker, with moto's server in their place."""

import contextlib
import socket
import subprocess
import sys

import pytest

from app.jobs.fleet.transactions import connect
from app.jobs.job import SUCCEEDED
from tests.likeness import understood
from tests.processes import free_port, until
from tests.recordings import AUSTEN_SHORT

from .machines import started


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture
def sqs_url(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    port = free_port()
    with (tmp_path / "moto.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log
        )
    try:
        until(lambda: listens(port), "moto listens", said=(tmp_path / "moto.log").read_text)
        yield f"sqs://key:not-of-amazon@127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.mark.long
def test_sqs_gives_out_the_work_as_redis_does(sqs_url, tmp_path, minute):
    """Whole, and in parts after a worker that was lost."""
    with started(tmp_path / "f", sqs_url, JOB_PART_MINUTES="1") as fleet, connect(fleet.redis.url) as client:
        first = fleet.worker()
        fleet.submit("a")
        job = fleet.ended("a")
        assert job.state == SUCCEEDED
        assert understood(job.text, AUSTEN_SHORT.text)
        fleet.has_parts_done_by_another(first, minute)
        until(lambda: not client.keys("celery-taskset-meta-*"), "the chord is over", said=fleet.said)
