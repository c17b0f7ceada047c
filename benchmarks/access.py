"""`python -m benchmarks.access`: what being guarded costs, and whether the time of a comparison tells of a key."""

import http.client
import random
import statistics
import time
from collections.abc import Iterator

from app.access.keys import Keys
from app.access.limits import LocalCounters

from . import table
from .service import Service
from .table import Row

KEY = "a-key-for-the-benchmark-0123456789abcdef"
ADDRESSES = 100_000
OPTIONS = {
    "API_KEYS": {"API_KEYS": KEY},
    "RATE_LIMIT": {"RATE_LIMIT": "1000000/minute"},
    "RATE_LIMIT and REDIS_URL": {"RATE_LIMIT": "1000000/minute", "REDIS_URL": "redis://127.0.0.1:9/0"},
    "CORS_ORIGINS": {"CORS_ORIGINS": "https://app.example.com"},
}


def measure(quick: bool) -> Iterator[Row]:
    """Each setting's weight in an idle service; 100,000 addresses; one request's time; the timing of keys."""
    with Service({"ENVIRONMENT": "benchmark"}) as plain:
        time.sleep(1)
        weight = plain.weigh().total_mb
        for name, environment in OPTIONS.items():
            with Service(environment) as guarded:
                time.sleep(1)
                yield Row(f"{name}, idle service, over one without", guarded.weigh().total_mb - weight, "MB")
    with Service({"RATE_LIMIT": "5/minute", "TRUSTED_PROXIES": "1"}) as limited:
        _ask(limited, 5_000)
        before = limited.weigh().total_mb
        _ask(limited, ADDRESSES // 10 if quick else ADDRESSES)
        yield Row(
            "requests of 100,000 addresses under RATE_LIMIT, growth",
            limited.weigh().total_mb - before,
            "MB",
            2.0,
        )
    local = LocalCounters()
    began = time.perf_counter()
    for number in range(ADDRESSES):
        local.add(f"ip:{number}", 60)
    yield Row("counting a request", 1e6 * (time.perf_counter() - began) / ADDRESSES, "us")
    yield from _timing(20_000 if quick else 200_000)


def _ask(server: Service, requests: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for number in range(requests):
        address = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
        connection.request("GET", "/v1/models/x", headers={"X-Forwarded-For": address})
        connection.getresponse().read()
    connection.close()


def _timing(rounds: int) -> Iterator[Row]:
    """
    Keys that differ from the right one in their first letter against those that differ in their last.

    Taken in random order, the slowest tenth left out; a difference that counts is many standard errors.
    """
    keys, chance = Keys(KEY), random.Random(1)
    presented = {"first": "b" + KEY[1:], "last": KEY[:-1] + "0", "right": KEY}
    times: dict[str, list[int]] = {name: [] for name in presented}
    for _ in range(rounds):
        for name in chance.sample(sorted(presented), len(presented)):
            began = time.perf_counter_ns()
            keys.find((presented[name],))
            times[name].append(time.perf_counter_ns() - began)
    kept = {name: sorted(found)[: len(found) * 9 // 10] for name, found in times.items()}
    first, last = kept["first"], kept["last"]
    difference = statistics.fmean(first) - statistics.fmean(last)
    error = (statistics.pvariance(first) / len(first) + statistics.pvariance(last) / len(last)) ** 0.5
    yield Row("finding a key", statistics.median(kept["right"]) / 1000, "us")
    yield Row("a key wrong in its first letter against its last, difference", abs(difference), "ns")
    yield Row("the same in standard errors", abs(difference) / error, "", 4.0)


if __name__ == "__main__":
    table.main(measure)
