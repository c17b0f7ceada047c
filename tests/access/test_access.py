"""Access from the settings: what is counted where and for whom, what is warned about."""

from functools import partial

import pytest

from app.access import Access
from app.access.limits import RedisCounters, caller
from app.config import ConfigError, Settings
from app.errors import AudioLimited, RateLimited
from tests.jobs.fleet.machines import Redis


def test_by_default_nothing_is_asked_and_nothing_is_wrong():
    access = Access(Settings())
    assert not access.guards
    assert access.checks() == []


@pytest.mark.parametrize(
    "asked", [{"api_keys": "a-key"}, {"rate_limit": "1/day"}, {"audio_seconds_per_hour": 1}]
)
def test_any_of_the_three_is_guarded(asked):
    assert Access(Settings(**asked)).guards


@pytest.mark.parametrize(
    ("asked", "warned"),
    [
        ({"environment": "production"}, True),
        ({"environment": "production", "api_keys": "a-key"}, False),
        ({"environment": "development"}, False),
    ],
)
def test_only_an_open_service_in_production_is_warned_about(asked, warned):
    assert bool(Access(Settings(**asked)).checks()) == warned


def test_keys_that_can_be_guessed_are_warned_about_without_telling_them(caplog):
    Access(Settings(api_keys="short-key,a-key-that-is-long-enough")).announce()
    assert ["1 can be guessed" in record.message for record in caplog.records] == [True]
    assert "short-key" not in caplog.text


@pytest.fixture
def patient(monkeypatch):
    """Redis is waited for: a worker counts by itself after 0.25 s, which a busy machine needs now and then."""
    monkeypatch.setattr("app.access.RedisCounters", partial(RedisCounters, answer_seconds=60))


def test_workers_with_the_same_redis_count_together(tmp_path, patient):
    redis = Redis(tmp_path)
    try:
        settings = Settings(rate_limit="3/hour", audio_seconds_per_hour=60, redis_url=redis.url)
        one, other = Access(settings), Access(settings)
        assert [one.rates.count("ip:1").remaining, other.rates.count("ip:1").remaining] == [2, 1]
        one.rates.count("ip:1")
        with pytest.raises(RateLimited):
            other.rates.count("ip:1")
        one.allowance.charge("ip:1", 59.999)
        other.allowance.check("ip:1")
        other.allowance.charge("ip:1", 0.001)
        with pytest.raises(AudioLimited) as refusal:
            one.allowance.check("ip:1")
        assert 3590 < refusal.value.retry_after_seconds <= 3601
    finally:
        redis.kill()


def test_health_says_when_workers_do_not_count_together(tmp_path, caplog, patient):
    redis = Redis(tmp_path)
    try:
        access = Access(Settings(rate_limit="3/hour", redis_url=redis.url))
        assert [check.reason for check in access.checks()] == [""]
        redis.kill()
        (check,) = access.checks()
        assert check.name == "rate limits"
        assert "REDIS_URL" in check.reason
    finally:
        redis.kill()


def test_a_redis_that_is_none_is_only_looked_at_where_something_is_counted():
    Access(Settings(redis_url="nonsense"))
    with pytest.raises(ConfigError, match="REDIS_URL"):
        Access(Settings(redis_url="nonsense", rate_limit="1/day"))


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.5", "ip:203.0.113.5"),
        ("2001:db8:0:1:aaaa:bbbb:cccc:dddd", "ip:2001:db8:0:1::/64"),
        ("2001:db8:0:1::9", "ip:2001:db8:0:1::/64"),
        ("fe80::1%eth0", "ip:fe80::/64"),
        ("::ffff:203.0.113.5", "ip:203.0.113.5"),
        ("not an address", "ip:unknown"),
        (None, "ip:unknown"),
    ],
)
def test_without_a_key_an_address_or_its_network_counts(address, counted):
    assert caller("", address) == counted


def test_with_a_key_the_key_counts_wherever_it_comes_from():
    assert caller("abc123", "203.0.113.5") == caller("abc123", "198.51.100.1") == "key:abc123"
