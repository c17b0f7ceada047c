"""What a job costs: to accept a large one, and to have a thousand of them waiting."""

import contextlib
import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Iterator

from app import memory

from .recordings import CLIP
from .service import Answer, Service
from .table import Row, main

JOBS = "/api/v1/pam/voice/jobs"
REFUSING = "/v1/audio/transcriptions?model=none"  # receives a recording, and then knows no such model
LARGE_BYTES = 25 << 20
QUEUED = 1000


def measure(quick: bool) -> Iterator[Row]:
    """Accepting, and waiting."""
    yield from accepting(rounds=5 if quick else 25)
    yield from waiting(100 if quick else QUEUED)


def accepting(rounds: int) -> Iterator[Row]:
    """Alternating, medians; nothing runs meanwhile."""
    body = os.urandom(LARGE_BYTES)  # no audio: the job fails at once
    worked: list[list[float]] = []
    took: dict[str, list[float]] = {"received": [], "accepted": []}
    with tempfile.TemporaryDirectory() as data, Service({"DATA_DIR": data}) as service:
        web = next(process.pid for process in memory.service(service.pid) if process.role == "web")
        for number in range(rounds + 1):
            before = processor_ms(web)
            refused = post(service, REFUSING, body)
            between = processor_ms(web)
            accepted = post(service, JOBS, body)
            work = [between - before, processor_ms(web) - between]
            if (refused.status, accepted.status) != (404, 202):
                raise RuntimeError(f"{refused.status} {accepted.status}: {accepted.body[:200]!r}")
            wait_until(service, accepted.headers["location"], ("failed",))
            delete(service, accepted.headers["location"])
            if number:  # the first one loads what jobs need
                took["received"].append(refused.seconds * 1000)
                took["accepted"].append(accepted.seconds * 1000)
                worked.append(work)
    received, accepted_ms = (statistics.median(took[name]) for name in ("received", "accepted"))
    receiving, accepting_ms = (statistics.median(each) for each in zip(*worked, strict=True))
    yield Row("25 MB received and refused", received, "ms")
    yield Row("25 MB accepted as a job", accepted_ms, "ms", received + 20)
    yield Row("the same, processor time of the web worker: received", receiving, "ms")
    yield Row("accepted", accepting_ms, "ms", receiving + 20)


def waiting(count: int) -> Iterator[Row]:
    """PSS of the web worker: before the first job, while one runs, and while one runs and others wait."""
    clip = CLIP.path.read_bytes()
    settings = {"STT_THREADS": "1", "ENGINE_IDLE_SECONDS": "1"}
    with tempfile.TemporaryDirectory() as data, Service({"DATA_DIR": data, **settings}) as service:
        for _ in range(
            100
        ):  # by then each of its threads has received a recording, and has a heap of its own
            post(service, REFUSING, clip)
        never = service.weigh().roles["web"]
        for _ in range(100):  # and has accepted a job
            last = post(service, JOBS, clip).headers["location"]
            delete(service, last)
        last = post(service, JOBS, clip).headers["location"]
        wait_until(service, last, ("running",))
        alone = service.weigh().roles["web"]
        for _ in range(count):
            if post(service, JOBS, clip).status != 202:
                raise RuntimeError("a job was not accepted")
        queued = service.get(f"{JOBS}?state=queued&limit=1").json["jobs"][0]["position"]
        waiting_mb = service.weigh().roles["web"]
    yield Row("web worker before the first job", never, "MB")
    yield Row("web worker while a job runs and none is queued", alone, "MB")
    yield Row(f"web worker while a job runs and {queued} are queued", waiting_mb, "MB", alone + 1)


def processor_ms(pid: int) -> float:
    """What the threads of a process have used of the processors (proc(5), schedstat)."""
    spent = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat") as file:
            spent += int(file.read().split()[0])
    return spent / 1e6


def post(service: Service, path: str, body: bytes) -> Answer:
    """A raw recording, and what comes back."""
    return service._ask("POST", path, body, {"Content-Type": "application/octet-stream"})


def delete(service: Service, path: str) -> None:
    """Remove a job."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)) as connection:
        connection.request("DELETE", path)
        connection.getresponse().read()


def wait_until(service: Service, path: str, states: tuple[str, ...], seconds: float = 120) -> None:
    """Return when the job is in one of *states*; TimeoutError after so many *seconds*."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):  # it may be starting again
            if service.get(path).json["state"] in states:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{path} is not {' or '.join(states)} after {seconds:g} s")


if __name__ == "__main__":
    main(measure)
