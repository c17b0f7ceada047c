"""What a job costs: to accept a large one, and to have a thousand of them waiting."""

import contextlib
import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Iterator

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
    took: dict[str, list[float]] = {"received": [], "accepted": []}
    with tempfile.TemporaryDirectory() as data, Service({"DATA_DIR": data}) as service:
        for number in range(rounds + 1):
            refused = post(service, REFUSING, body)
            accepted = post(service, JOBS, body)
            if (refused.status, accepted.status) != (404, 202):
                raise RuntimeError(f"{refused.status} {accepted.status}: {accepted.body[:200]!r}")
            wait_until_ended(service, accepted.headers["location"])
            delete(service, accepted.headers["location"])
            if number:  # the first one loads what jobs need
                took["received"].append(refused.seconds * 1000)
                took["accepted"].append(accepted.seconds * 1000)
    received, accepted_ms = (statistics.median(took[name]) for name in ("received", "accepted"))
    yield Row("25 MB received and refused", received, "ms")
    yield Row("25 MB accepted as a job", accepted_ms, "ms", received + 20)


def waiting(count: int) -> Iterator[Row]:
    """PSS of the web worker: before the first job, after it, and while others wait."""
    clip = CLIP.path.read_bytes()
    settings = {"STT_THREADS": "1", "ENGINE_IDLE_SECONDS": "1"}
    with tempfile.TemporaryDirectory() as data, Service({"DATA_DIR": data, **settings}) as service:
        for _ in range(50):
            service.get("/health")
        never = service.weigh().roles["web"]
        location = post(service, JOBS, clip).headers["location"]
        wait_until_ended(service, location)
        delete(service, location)
        service.wait_until_engines_left()
        time.sleep(1)
        none = service.weigh().roles["web"]
        for _ in range(count):
            if post(service, JOBS, clip).status != 202:
                raise RuntimeError("a job was not accepted")
        queued = service.get(f"{JOBS}?state=queued&limit=1").json["jobs"][0]["position"]
        waiting_mb = service.weigh().roles["web"]
    yield Row("web worker before the first job", never, "MB")
    yield Row("web worker with jobs, none there", none, "MB")
    yield Row(f"web worker with {queued} jobs queued", waiting_mb, "MB", none + 1)


def post(service: Service, path: str, body: bytes) -> Answer:
    """A raw recording, and what comes back."""
    return service._ask("POST", path, body, {"Content-Type": "application/octet-stream"})


def delete(service: Service, path: str) -> None:
    """Remove a job."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)) as connection:
        connection.request("DELETE", path)
        connection.getresponse().read()


def wait_until_ended(service: Service, path: str) -> None:
    """Return when the job has succeeded or failed; at most a minute."""
    for _ in range(600):
        if service.get(path).json["state"] in ("succeeded", "failed"):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{path} has not ended within a minute")


if __name__ == "__main__":
    main(measure)
