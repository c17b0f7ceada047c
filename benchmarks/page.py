"""`python -m benchmarks.page`: what the page weighs, when it can be used, and what one that is open costs."""

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from app import memory

from . import table
from .service import Service
from .table import Row

SETTLING_SECONDS = 5
SCRIPT = Path(__file__).with_name("page.js")


def measure(quick: bool) -> Iterator[Row]:
    """The page in a real browser: open for a minute with nothing else going on, then anew for its time."""
    if not (shutil.which("node") and shutil.which("chromium")):
        return
    seconds, rounds = (20, 3) if quick else (60, 9)
    with Service() as service:
        for _ in range(50):
            service.get("/health")
        time.sleep(SETTLING_SECONDS)
        before_mb, before_seconds, began = service.weigh().total_mb, worked(service), time.monotonic()
        time.sleep(seconds)
        closed = (worked(service) - before_seconds) / (time.monotonic() - began)
        begun = worked(service), time.monotonic()
        opened = _open(service, seconds=seconds, rounds=0)
        share = (worked(service) - begun[0]) / (time.monotonic() - begun[1])
        yield Row("page, all its files", opened["bytes"] / 1000, "kB", 100)
        yield Row("page open, of one processor", 100 * (share - closed), "%", 1)
        # 1.0 of it is psutil and 0.7 the reports: they come with the first look, and an idle service does without.
        yield Row("page open, growth of the service", service.weigh().total_mb - before_mb, "MB", 2)
        again = _open(service, seconds=0, rounds=rounds)
        yield Row("page, usable after", statistics.median(again["usable"]), "ms", 500)
        yield Row("opened ten times, growth of the service", service.weigh().total_mb - before_mb, "MB")


def _open(service: Service, *, seconds: int, rounds: int) -> dict[str, list[float] | float]:
    done = subprocess.run(
        ["node", str(SCRIPT)],
        env={
            **os.environ,
            "BASE_URL": f"http://127.0.0.1:{service.port}/",
            "SECONDS": str(seconds),
            "ROUNDS": str(rounds),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 120,
    )
    return json.loads(done.stdout)


def worked(service: Service) -> float:
    """Processor seconds of all its processes so far."""
    return sum(process.cpu_seconds for process in memory.service(service.pid))


if __name__ == "__main__":
    table.main(measure)
