"""Whom a request counts for."""

import pytest

from app.access.callers import caller


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
