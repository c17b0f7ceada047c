"""Where a webhook may go: https URLs, and addresses of the public internet."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

LONGEST_URL = 2000
URL = re.compile(
    r"[A-Za-z0-9\-._~:/?\[\]!$&'()*+,;=%@]+"
)  # RFC 3986 without the fragment, which is never sent
NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")

# What is not of the public internet by IANA's registries of special-purpose addresses (RFC 6890), multicast and
# reserved ones. Written out: Python's `is_global` has changed its mind between the releases this runs on, and
# takes multicast and the old 6to4 relays for public.
NOT_PUBLIC_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip
# The rest of IPv6 is unassigned, local, multicast, or has an IPv4 address inside (mapped, NAT64), as have Teredo in
# 2001::/23 and 6to4, 2002::/16.
UNICAST_6 = ipaddress.IPv6Network("2000::/3")
NOT_PUBLIC_6 = [
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL in the parts a request is made of; *target* is path and query."""

    secure: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def destination(url: str, *, private: bool) -> Destination:
    """
    Where *url* points; ValueError says what is wrong with it.

    With *private* it may be http, and an address that is not public. Names are not looked up here.
    """
    if len(url) > LONGEST_URL or not URL.fullmatch(url):
        raise ValueError(
            f"is not a URL of at most {LONGEST_URL} ASCII characters without a fragment; percent-encode others"
        )
    parts = urlsplit(url)
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise ValueError("does not begin with https://")
    if "@" in parts.netloc:
        raise ValueError("has a user name or a password in it; use the signature to tell who sends")
    host = parts.hostname or ""
    address = _literal(host)
    if address is None and not _is_name(host):
        raise ValueError("names no host")
    if not private:
        if address is not None and not is_public(host):
            raise ValueError(f"points to {host}, which is not a public address")
        if address is None and "." not in host.rstrip("."):
            raise ValueError(f"points to {host}, which is not a name of the public internet")
    secure = parts.scheme == "https"
    port = parts.port if parts.port is not None else 443 if secure else 80  # ValueError past 65535
    if port == 0:
        raise ValueError("names port 0")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(secure, host, port, target)


def is_public(address: str) -> bool:
    """Whether *address*, in the usual notation, belongs to the public internet."""
    parsed = _literal(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in NOT_PUBLIC_4)
    return (
        parsed is not None and parsed in UNICAST_6 and not any(parsed in network for network in NOT_PUBLIC_6)
    )


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """*host* as an address; None where it is none, or one of an interface (`fe80::1%eth0`)."""
    try:
        return None if "%" in host else ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    """Whether it can be a name: resolvers take `127.1` and `0x7f000001` for addresses."""
    last = host.rstrip(".").rpartition(".")[2]
    return bool(NAME.fullmatch(host)) and not re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]*", last)
