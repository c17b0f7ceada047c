"""What was counted lately, from snapshots that are only taken when something happens."""

import pytest

from app.logs import RequestRecord
from app.monitoring.metrics import LONGEST_SECONDS, quantile
from app.monitoring.monitoring import Monitoring
from app.monitoring.shared_memory import SharedMemory, WorkerSlot


@pytest.fixture
def monitoring(clock):
    return Monitoring(WorkerSlot(SharedMemory()), lambda: [], clock)


def answer(monitoring, count=1, *, route="/health", status=200, seconds=0.004):
    for _ in range(count):
        monitoring.metrics.request_began()
        monitoring.record_request(RequestRecord("GET", route, status, "id", seconds))


def counted(monitoring, seconds):
    return monitoring.windows.last(seconds)[0].get(("http_requests_total", "GET", "/health", "200"), [0])[0]


def test_a_window_has_what_happened_in_it(monitoring, clock):
    answer(monitoring, 3)
    clock.advance(600)
    answer(monitoring, 2)
    assert counted(monitoring, 300) == 2
    assert counted(monitoring, 3600) == 5


def test_nothing_is_left_in_a_window_after_a_long_silence(monitoring, clock):
    answer(monitoring, 100)
    clock.advance(301)
    assert counted(monitoring, 300) == 0
    assert counted(monitoring, 3600) == 100


def test_what_came_just_before_a_silence_is_not_counted_after_it(monitoring, clock):
    answer(monitoring)
    clock.advance(14)
    answer(monitoring, 100)  # too early for a snapshot
    clock.advance(1000)
    answer(monitoring)
    assert counted(monitoring, 300) == 1


def test_a_steady_load_is_counted_to_within_the_time_between_snapshots(monitoring, clock):
    for _ in range(2 * 3600):
        answer(monitoring)
        clock.advance(1)
    assert 300 <= counted(monitoring, 300) <= 320
    assert 3600 <= counted(monitoring, 3600) <= 3640


def test_many_routes_still_last_for_an_hour(monitoring, clock):
    for _ in range(int(LONGEST_SECONDS) * 2 // 5):
        for route in range(40):
            answer(monitoring, route=f"/route/of/some/length/{route}")
        clock.advance(5)
    window, since = monitoring.windows.last(3600)
    assert clock() - since >= 3500
    assert window["http_requests_total", "GET", "/route/of/some/length/7", "200"] == [
        pytest.approx(720, rel=0.1)
    ]


def test_percentiles_are_right_to_a_bucket():
    bounds = (1.0, 2.0, 4.0)
    spread = [50.0, 45.0, 5.0, 0.0, 123.0]
    assert quantile(0.5, spread, bounds) == pytest.approx(1.0)
    assert quantile(0.95, spread, bounds) == pytest.approx(2.0)
    assert 2.0 < quantile(0.99, spread, bounds) <= 4.0
    assert quantile(0.5, [0.0, 0.0, 0.0, 9.0, 1.0], bounds) == 4.0
    assert quantile(0.5, [0.0] * 5, bounds) is None


def test_a_worker_that_was_reloaded_leaves_its_counts(clock):
    memory = SharedMemory(2)
    before = Monitoring(WorkerSlot(memory, 0), lambda: [], clock)
    answer(before, 5)
    after = Monitoring(WorkerSlot(memory, 1), lambda: [], clock)
    answer(after, 3)
    assert counted(after, 300) == 8
    clock.advance(400)
    again = Monitoring(WorkerSlot(memory, 0), lambda: [], clock)
    answer(again, 2)
    assert counted(again, 300) == 2
    assert counted(again, 3600) == 10
