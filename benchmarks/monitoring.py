"""`python -m benchmarks.monitoring`: what being watched costs."""

import contextlib
import http.client
import random
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import table
from .service import Service, bare
from .table import Row

PATHS, ADDRESSES = 10_000, 1_000
MB = 1 << 20


class Load(NamedTuple):
    """What a server did for one run of wrk."""

    requests_per_second: float
    processor_us: float


def measure(quick: bool) -> Iterator[Row]:
    """The service with monitoring, without, and a bare Flask beside it; then a scan of 100,000 requests."""
    rounds, seconds, requests = (3, 2, 10_000) if quick else (9, 3, 100_000)
    with (
        Service({"MONITORING": "true"}) as on,
        Service({"MONITORING": "false"}) as off,
        bare() as stock,
        bare("app.server.worker.Worker") as same,
    ):
        time.sleep(1)
        idle = on.weigh().total_mb - off.weigh().total_mb
        yield Row("monitoring, idle service, over one without", idle, "MB", 2.0)
        if shutil.which("wrk"):
            yield from _throughput(
                {"on": on, "off": off, "bare, stock worker": stock, "bare, our worker": same}, rounds, seconds
            )
        for path in ("/metrics", "/api/monitoring/performance", "/api/monitoring/production"):
            times = [on.get(path).seconds for _ in range(21)]
            limit = 20.0 if path == "/metrics" else None
            yield Row(f"GET {path}, median", 1000 * statistics.median(times), "ms", limit)
    with Service({"TRUSTED_PROXIES": "1"}) as scanned:
        _scan(scanned, requests // 10)
        before = scanned.weigh().total_mb
        _scan(scanned, requests)
        grown = scanned.weigh().total_mb - before
        what = f"{requests} requests over {PATHS} unknown paths and {ADDRESSES} addresses, growth"
        yield Row(what, grown, "MB", 1.0)


def _throughput(servers: dict[str, Service], rounds: int, seconds: int) -> Iterator[Row]:
    """Rounds of the same load on each in turn; the ratio within a round is what other work disturbs least."""
    found: list[dict[str, Load]] = []
    for _ in range(rounds):
        found.append({name: _loaded(server, seconds) for name, server in servers.items()})
    for name in servers:
        rate = statistics.median(loads[name].requests_per_second for loads in found)
        spent = statistics.median(loads[name].processor_us for loads in found)
        yield Row(f"/health, {name}, throughput", rate, "/s")
        yield Row(f"/health, {name}, processor time of a request", spent, "us")
    lost = statistics.median(
        1 - one["on"].requests_per_second / one["off"].requests_per_second for one in found
    )
    yield Row("/health, throughput lost to monitoring", 100 * lost, "%", 3.0)
    for name, limit in (("bare, stock worker", 15.0), ("bare, our worker", 10.0)):
        missing = statistics.median(
            1 - one["on"].requests_per_second / one[name].requests_per_second for one in found
        )
        yield Row(f"/health, throughput missing to {name}", 100 * missing, "%", limit)


def _loaded(server: Service, seconds: int) -> Load:
    began = _processor_seconds(server.pid)
    said = subprocess.run(
        ["wrk", "-t1", "-c8", f"-d{seconds}", f"http://127.0.0.1:{server.port}/health"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    requests, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec:\s+([\d.]+)", said)
    if requests is None or rate is None:
        raise ValueError(said)
    return Load(float(rate[1]), 1e6 * (_processor_seconds(server.pid) - began) / int(requests[1]))


def _processor_seconds(master: int) -> float:
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if master in (int(stat.parent.name), int(fields[1])):
                ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def _scan(server: Service, requests: int) -> None:
    """What a scanner sends, through a router that says for whom."""
    chance = random.Random(requests)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for _ in range(requests):
        address = f"203.{chance.randrange(ADDRESSES) // 250}.{chance.randrange(ADDRESSES) % 250}.9"
        connection.request("GET", f"/unknown/{chance.randrange(PATHS)}", headers={"X-Forwarded-For": address})
        connection.getresponse().read()
    connection.close()


if __name__ == "__main__":
    table.main(measure)
