"""RATE_LIMIT: its windows, what a refusal says, what can't be read."""

import pytest

from app.access.limits import LocalCounters, RateLimiter
from app.config import ConfigError
from app.errors import RateLimited


def rates(text, clock):
    return RateLimiter(text, LocalCounters(clock=clock))


def test_requests_past_the_limit_are_refused_until_the_window_is_over(clock):
    limited = rates("3/minute", clock)
    assert [limited.count("ip:1").remaining for _ in range(3)] == [2, 1, 0]
    clock.advance(20)
    with pytest.raises(RateLimited, match="limit: 3 requests a minute; retry in 40 s") as refusal:
        limited.count("ip:1")
    assert refusal.value.retry_after_seconds == 40
    assert limited.count("ip:2").remaining == 2
    clock.advance(40)
    assert limited.count("ip:1").remaining == 2


def test_every_window_holds(clock):
    limited = rates("2/second;3/hour", clock)
    assert (limited.count("a").limit, limited.count("a").remaining) == (2, 0)
    with pytest.raises(RateLimited, match="2 requests a second"):
        limited.count("a")
    clock.advance(1)
    assert limited.count("a").limit == 3  # what has the least left is told
    clock.advance(1)
    with pytest.raises(RateLimited, match="3 requests an hour") as refusal:
        limited.count("a")
    assert refusal.value.retry_after_seconds == 3598


def test_what_a_window_refused_does_not_count_in_the_next(clock):
    limited = rates("1/second;100/hour", clock)
    limited.count("a")
    for _ in range(50):
        with pytest.raises(RateLimited):
            limited.count("a")
    clock.advance(1)
    assert limited.count("a").remaining == 0
    clock.advance(1)
    assert limited.count("a") is not None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1/day", "1 request a day"),
        (" 2 per Hour ", "2 requests an hour"),
        ("3/10 minutes, 9/year", "3 requests in 10 minutes"),
        ("4 / 1 second | 5/month", "4 requests a second"),
    ],
)
def test_windows_are_written_in_many_ways_and_told_in_one(text, shown, clock):
    limited = rates(text, clock)
    for _ in range(int(shown[0])):
        limited.count("a")
    with pytest.raises(RateLimited, match=f"limit: {shown}; retry in "):
        limited.count("a")


@pytest.mark.parametrize(
    "text",
    [
        "60", "60/fortnight", "x/minute", "-1/minute", "0/minute", "60/minute;", "; ", "60/minute 5/hour",
        "5/0 minutes", "1.5/hour",
    ],
)  # fmt: skip
def test_what_cannot_be_read_stops_the_boot_and_says_what_can(text, clock):
    with pytest.raises(ConfigError, match=r"RATE_LIMIT: .*write 60/minute"):
        rates(text, clock)
