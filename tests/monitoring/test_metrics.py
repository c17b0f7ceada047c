"""Counters: bounded labels, and totals that outlive a worker."""

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import values

from app.config import PROJECT
from app.logs import UNMATCHED, RequestRecord
from app.monitoring.metrics import Metrics
from app.monitoring.monitoring import PROBES, Monitoring, probe
from app.monitoring.shared_memory import SharedMemory, WorkerSlot, WorkerSlots

WORKER = """
import sys
from app.monitoring.shared_memory import SharedMemory, WorkerSlot
from app.monitoring.metrics import Metrics
metrics = Metrics(WorkerSlot(SharedMemory(2), int(sys.argv[2]), sys.argv[1]))
for _ in range(int(sys.argv[3])):
    metrics.request_began()
    metrics.request_ended("GET", "/health", 200, 0.002)
metrics.request_began()
"""


@pytest.fixture
def monitoring(clock):
    return Monitoring(WorkerSlot(SharedMemory()), lambda: [], clock)


@pytest.fixture
def slots(monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")  # put back what WorkerSlots sets
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)  # and what a Metrics among several sets
    slots = WorkerSlots(2)
    yield slots
    slots.close()


def samples(metrics, name):
    return {
        tuple(sample.labels.values()): sample.value
        for metric in metrics.collect()
        for sample in metric.samples
        if sample.name == name and sample.value
    }


def run_worker(slots, number, requests):
    command = [sys.executable, "-c", WORKER, slots.directory, str(number), str(requests)]
    subprocess.run(command, cwd=PROJECT, check=True)


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


def test_counters_of_workers_add_up_and_a_successor_goes_on(slots):
    run_worker(slots, 0, 3)
    run_worker(slots, 1, 4)
    found = Metrics(WorkerSlot(slots.memory, 2, slots.directory))
    assert samples(found, "http_requests_total") == {("GET", "/health", "200"): 7}
    assert samples(found, "http_requests_in_progress") == {(): 2}
    slots.release(0)  # killed in mid-request
    assert samples(found, "http_requests_in_progress") == {(): 1}
    assert samples(found, "http_requests_total") == {("GET", "/health", "200"): 7}
    run_worker(slots, 0, 5)
    assert samples(found, "http_requests_total") == {("GET", "/health", "200"): 12}


def test_slots_are_assigned_again_and_files_removed(slots):
    assert slots.directory is not None
    assert [slots.assign([]), slots.assign([0]), slots.assign([1])] == [0, 1, 0]
    assert slots.memory.starts == 3
    directory = Path(slots.directory)
    assert directory.stat().st_mode & 0o077 == 0
    slots.close()
    assert not directory.exists()


def test_one_worker_needs_no_files():
    assert WorkerSlots(1).directory is None


def test_a_series_that_is_only_to_be_there_is_no_event(monitoring):
    said = []
    monitoring.metrics.then["engine_exits_total"] = lambda: said.append("event")
    monitoring.metrics.note("engine_exits_total", 0, "whisper-base", "died")
    assert said == []
    monitoring.metrics.note("engine_exits_total", 1, "whisper-base", "died")
    assert said == ["event"]
