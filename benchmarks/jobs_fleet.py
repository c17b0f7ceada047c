"""
Jobs on many machines, here on one: what a second worker brings, and what a broker costs a web worker.

Each worker transcribes with one thread, so two need two processors to themselves.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.jobs.job import SUCCEEDED
from tests.jobs.fleet.machines import Fleet, started, until

from .recordings import CLIP, long_recording
from .service import Service
from .table import Row, main

JOBS = "/api/v1/pam/voice/jobs"
LIMIT_SECONDS = 900
SPEED_UP = 1.9
QUEUED = 1000


def measure(quick: bool) -> Iterator[Row]:
    """Throughput, a long recording in parts, memory."""
    yield from throughput(12 if quick else 60)
    yield from parts(minutes=4 if quick else 20)
    yield from weight(100 if quick else QUEUED)


def throughput(count: int) -> Iterator[Row]:
    """The same jobs, by one worker and by two."""
    took = {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder, started(Path(folder) / "fleet") as fleet:
            warm_up(fleet, workers)
            began = time.perf_counter()
            for number in range(count):
                fleet.submit(f"job-{number}", CLIP.path)
            wait(fleet, [f"job-{number}" for number in range(count)])
            took[workers] = time.perf_counter() - began
        yield Row(f"{count} jobs of {CLIP.seconds:.0f} s, {workers} workers", took[workers], "s")
    yield Row("with two workers, of the time of one", took[2] / took[1], "", 1 / SPEED_UP)


def parts(minutes: int) -> Iterator[Row]:
    """One long recording: as a whole, and in parts shared by two workers."""
    recording = long_recording(minutes)
    took = {}
    for workers, part_minutes in ((1, 0), (2, max(1, minutes // 4))):
        settings = {"JOB_PART_MINUTES": str(part_minutes)}
        with tempfile.TemporaryDirectory() as folder, started(Path(folder) / "fleet", **settings) as fleet:
            warm_up(fleet, workers)
            began = time.perf_counter()
            fleet.submit("long", recording.path)
            wait(fleet, ["long"])
            took[workers] = time.perf_counter() - began
    yield Row(f"{minutes} minutes in one go", took[1], "s")
    yield Row(f"{minutes} minutes in parts, two workers", took[2], "s")


def warm_up(fleet: Fleet, workers: int) -> None:
    """As many workers, each with its engine."""
    for _ in range(workers):
        fleet.worker()
    until(lambda: all("ready" in worker.log for worker in fleet.workers), 60)
    names = [f"warm-{number}" for number in range(2 * workers)]
    for name in names:
        fleet.submit(name, CLIP.path)
    wait(fleet, names)


def wait(fleet: Fleet, names: list[str]) -> None:
    """Until all have succeeded."""
    for name in names:
        job = fleet.ended(name, LIMIT_SECONDS)
        if job.state != SUCCEEDED:
            raise RuntimeError(f"{name} {job.state}: {job.error}")


def weight(count: int) -> Iterator[Row]:
    """PSS of the web worker: before the first job, after it, and while others wait. No worker takes them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        started(Path(folder) / "fleet") as fleet,
        Service(fleet.environment) as service,
    ):
        idle = service.weigh().roles["web"]
        accept(service, 20)
        begun = service.weigh().roles["web"]
        accept(service, count)
        queued = service.weigh().roles["web"]
    yield Row("web worker with a broker, before the first job", idle, "MB")
    yield Row("what the first jobs bring: Celery, kombu and redis", begun - idle, "MB")
    yield Row(f"the same with {count} jobs queued", queued - idle, "MB", 16)


def accept(service: Service, count: int) -> None:
    """So many jobs, without their recordings' weight."""
    for _ in range(count):
        answer = service._ask("POST", JOBS, b'{"text": "Hello."}', {"Content-Type": "application/json"})
        if answer.status != 202:
            raise RuntimeError(answer.body[:200])


if __name__ == "__main__":
    main(measure)
