"""Whom a request counts for: its key, or the network it came from."""

from __future__ import annotations

import ipaddress

NETWORK_6 = 64  # bits; one subscriber has at least that many addresses of version 6


def caller(key_id: str, address: str | None) -> str:
    """`key:3f2a…`, or `ip:203.0.113.5`; of version 6 the network, `ip:2001:db8:0:1::/64`."""
    return f"key:{key_id}" if key_id else f"ip:{network(address or '')}"


def network(address: str) -> str:
    """Who has *address*; "unknown" for what is none, as a request through a Unix socket has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, NETWORK_6), strict=False))
