"""Counts: that they begin anew, stay few, and are shared by a real Redis, which may be away."""

import logging
import tracemalloc

import pytest

from app.access.limits import AWAY_SECONDS, LocalCounters, RedisCounters
from app.config import ConfigError
from tests.jobs.fleet.machines import Redis
from tests.processes import until


@pytest.fixture
def redis(tmp_path):
    redis = Redis(tmp_path)
    yield redis
    redis.kill()


def test_a_count_begins_anew_after_its_time(clock):
    local = LocalCounters(clock=clock)
    assert [local.add("a", 60), local.add("a", 60, 5)] == [(1, 60), (6, 60)]
    clock.advance(59)
    assert local.add("a", 60) == (7, 1)  # the time counts from the first
    clock.advance(1)
    assert local.add("a", 60, 0).value == 0
    assert local.add("a", 60) == (1, 60)


def test_what_was_not_increased_for_the_longest_is_forgotten_first(clock):
    local = LocalCounters(most=2, clock=clock)
    for name in ("a", "b", "a", "c"):
        local.add(name, 60)
    assert [local.add(name, 60, 0).value for name in ("a", "b", "c")] == [2, 0, 1]


def test_a_hundred_thousand_addresses_take_less_than_two_megabytes():
    local = LocalCounters()
    tracemalloc.start()
    try:
        for number in range(100_000):
            local.add(f"requests/ip:2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64/60/60", 60)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 2 << 20


def test_counts_in_redis_are_those_of_all_workers(redis):
    one, other = RedisCounters(redis.url, answer_seconds=10), RedisCounters(redis.url, answer_seconds=10)
    counts = [one.add("a", 60), other.add("a", 60, 5), one.add("a", 60, 0)]
    assert [count.value for count in counts] == [1, 6, 6]
    assert all(50 < count.seconds_left <= 60 for count in counts)
    assert one.add("b", 60, 0) == (0, 0)


def test_a_count_in_redis_begins_anew_after_its_time(redis):
    shared = RedisCounters(redis.url, answer_seconds=10)
    shared.add("a", 1)
    until(lambda: shared.add("a", 60, 0).value == 0, "the count is forgotten")
    assert shared.add("a", 60).value == 1


def test_while_redis_is_away_each_worker_counts_by_itself_and_says_so_once(redis, clock, caplog):
    caplog.set_level(logging.INFO)
    shared = RedisCounters(redis.url, answer_seconds=10, clock=clock)
    assert shared.add("a", 600).value == 1
    redis.kill()
    assert [shared.add("a", 600).value, shared.add("a", 600).value] == [1, 2]
    clock.advance(AWAY_SECONDS)
    assert shared.add("a", 600).value == 3
    redis.start()
    assert shared.add("a", 600).value == 4  # not asked yet
    clock.advance(AWAY_SECONDS)
    assert shared.add("a", 600).value == 2
    said = [record.message for record in caplog.records if "Redis" in record.message]
    assert [message.split(" (")[0] for message in said] == ["Redis does not answer", "Redis answers again"]


def test_a_redis_that_says_nothing_is_given_up_soon(clock, caplog):
    """Somebody listens, and never answers: one request waits for it, and the next do not ask."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        shared = RedisCounters(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", clock=clock)
        assert [shared.add("a", 60).value for _ in range(50)][-1] == 50
        silent.settimeout(0)
        accepted = 0
        while True:
            try:
                silent.accept()[0].close()
            except BlockingIOError:
                break
            accepted += 1
    assert accepted == 1


def test_an_address_that_is_none_is_refused_without_its_password():
    with pytest.raises(ConfigError, match="REDIS_URL") as mistake:
        RedisCounters("http://user:password@127.0.0.1:6379")
    assert "password" not in str(mistake.value)
