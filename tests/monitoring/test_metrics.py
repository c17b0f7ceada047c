"""Counters: bounded labels, and totals that outlive a worker."""

import os
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import create_app
from app.config import Settings
from app.logs import UNMATCHED, RequestRecord
from app.monitoring import exposition
from app.monitoring.metrics import COUNTERS, GAUGES, HISTOGRAMS, Metrics, of
from app.monitoring.monitoring import PROBES, Monitoring, probe
from app.monitoring.shared_memory import SharedMemory, Table, WorkerSlot, WorkerSlots
from app.services import Services


@pytest.fixture
def monitoring(clock):
    return Monitoring(WorkerSlot(SharedMemory()), lambda: [], clock)


def samples(metrics, name):
    return {labels: value for labels, (value,) in of(metrics.total(), name).items() if value}


def run_worker(slots, number, requests):
    """A worker in that slot, a process of its own, ends in the middle of a request."""
    pid = os.fork()
    if not pid:
        try:
            metrics = Metrics(WorkerSlot(slots.memory, number))
            for _ in range(requests):
                metrics.request_began()
                metrics.request_ended(RequestRecord("GET", "/health", 200, "id", 0.002))
            metrics.request_began()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def test_methods_that_are_made_up_are_one_label(monitoring):
    for number in range(100):
        monitoring.record_request(RequestRecord(f"MADE{number}", "/health", 405, "id", 0.001))
    found = samples(monitoring.metrics, "http_requests_total")
    assert found == {("OTHER", "/health", "405"): 100}


def test_thousands_of_unknown_paths_are_one_series(monitoring):
    for number in range(5000):
        monitoring.record_request(
            RequestRecord(
                "GET", UNMATCHED, 404, "id", 0.001, path=f"/{number}", peer=f"10.0.{number % 250}.1"
            )
        )
    assert samples(monitoring.metrics, "http_requests_total") == {("GET", UNMATCHED, "404"): 5000}
    assert samples(monitoring.metrics, "http_refusals_total") == {("unknown_path",): 5000}


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, "unauthorized", "authentication_failed"),
        (403, "forbidden", "forbidden"),
        (429, "rate_limited", "rate_limited"),
        (413, "request_entity_too_large", "oversized_body"),
        (413, "upload_too_large", "upload_too_large"),
        (413, "audio_too_long", "audio_too_long"),
        (400, "invalid_audio", "invalid_audio"),
    ],
)
def test_a_refusal_has_its_reason(monitoring, status, code, reason):
    monitoring.record_request(RequestRecord("POST", "/speak", status, "id", 0.001, code=code))
    assert samples(monitoring.metrics, "http_refusals_total") == {(reason,): 1}


def test_a_mistake_in_a_field_is_no_refusal(monitoring):
    monitoring.record_request(RequestRecord("POST", "/speak", 400, "id", 0.001, code="invalid_request"))
    assert samples(monitoring.metrics, "http_refusals_total") == {}


@pytest.mark.parametrize("path", [*PROBES, "/blog/WP-LOGIN.php", "/.env.production", "/.git/config"])
def test_probes_are_known(path):
    assert probe(path) in PROBES


def test_an_unknown_path_is_no_probe():
    assert probe("/api/v2/speak") == ""


def test_counters_of_workers_add_up_and_a_successor_goes_on():
    slots = WorkerSlots(2)
    run_worker(slots, 0, 3)
    run_worker(slots, 1, 4)
    found = Metrics(WorkerSlot(slots.memory, 2))
    assert samples(found, "http_requests_total") == {("GET", "/health", "200"): 7}
    assert samples(found, "http_requests_in_progress") == {(): 2}
    slots.release(0)  # killed in mid-request
    assert samples(found, "http_requests_in_progress") == {(): 1}
    assert samples(found, "http_requests_total") == {("GET", "/health", "200"): 7}
    run_worker(slots, 0, 5)
    assert samples(found, "http_requests_total") == {("GET", "/health", "200"): 12}


def test_slots_are_assigned_again():
    slots = WorkerSlots(2)
    assert [slots.assign([]), slots.assign([0]), slots.assign([1])] == [0, 1, 0]
    assert slots.memory.starts == 3


def test_threads_lose_no_count(monitoring):
    def requests():
        for number in range(2000):
            monitoring.metrics.request_began()
            monitoring.record_request(RequestRecord("GET", f"/{number % 7}", 200, "id", 0.001, 10, 20))

    threads = [threading.Thread(target=requests) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = monitoring.metrics.total()
    assert sum(value for (value,) in of(total, "http_requests_total").values()) == 8000
    assert sum(value for (value,) in of(total, "http_response_body_bytes_total").values()) == 160_000
    assert sum(sum(counts) for *counts, _ in of(total, "http_request_duration_seconds").values()) == 8000
    assert total["http_requests_in_progress",] == [0]


def test_a_full_table_leaves_out_what_is_new_and_counts_the_rest(caplog):
    table = Table(memoryview(bytearray(4096)))
    for number in range(200):
        table.numbers[table.row((f"metric_{number}", "label"), 3)] += 1
    assert "there is no room to count metric_199 label" in caplog.text
    found = table.read()
    assert 20 < len(found) < 200
    assert set(map(tuple, found.values())) == {(1, 0, 0)}
    table.numbers[table.row(("metric_0", "label"), 3)] += 1
    assert table.read()["metric_0", "label"] == [2, 0, 0]
    table.clear()
    assert set(map(tuple, table.read().values())) == {(0, 0, 0)}


def test_a_table_takes_every_route_with_every_status():
    metrics = Metrics(WorkerSlot(SharedMemory()))
    routes = [rule.rule for rule in create_app(Settings()).url_map.iter_rules()]
    statuses = (200, 201, 202, 204, 206, 304, 400, 401, 404, 413, 415, 429, 500, 503)
    for route in routes:
        for method in ("POST", "OPTIONS"):
            for status in statuses:
                metrics.request_began()
                metrics.request_ended(RequestRecord(method, route, status, "id", 0.001))
    assert len(of(metrics.total(), "http_requests_total")) == 2 * len(set(routes)) * len(statuses)


def test_prometheus_reads_what_was_counted(monitoring):
    monitoring.record_request(RequestRecord("GET", "/a", 200, "id", 0.02, 5, 7))
    monitoring.record_request(RequestRecord("GET", "/a", 200, "id", 300.0, 5, 7))
    text = exposition.text(Services.build(Settings()), monitoring).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {*COUNTERS, *GAUGES, *HISTOGRAMS} <= {f"{name}_total" for name in families} | set(families)
    timed = families["http_request_duration_seconds"]
    assert timed.type == "histogram"
    buckets = {one.labels["le"]: one.value for one in timed.samples if one.name.endswith("_bucket")}
    assert [buckets["0.01"], buckets["0.025"], buckets["180.0"], buckets["+Inf"]] == [0, 1, 1, 2]
    assert {one.name.rpartition("_")[2]: one.value for one in timed.samples[-2:]} == {
        "count": 2,
        "sum": 300.02,
    }


def test_a_series_that_is_only_to_be_there_is_no_event(monitoring):
    said = []
    monitoring.metrics.then["engine_exits_total"] = lambda: said.append("event")
    monitoring.metrics.note("engine_exits_total", 0, "whisper-base", "died")
    assert said == []
    monitoring.metrics.note("engine_exits_total", 1, "whisper-base", "died")
    assert said == ["event"]
