"""
Posts one webhook: to an https URL, and to addresses of the public internet only.

`http.client` and `ssl` cost the web worker nothing, because Flask imports both. A post over TLS takes 0.8 to 1.6 MB,
eight at once 2.5 MB (PSS, with the system's certificates).
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from urllib.parse import urlsplit

ANSWER_SECONDS = 5.0  # for a connection, its handshake and each part of the answer
MOST_ADDRESSES = 3  # of one name that are tried

DELIVERED, FAILED, REFUSED = "delivered", "failed", "refused"  # failed: worth another try; refused: not

LONGEST_URL = 2000
URL = re.compile(r"[A-Za-z0-9\-._~:/?\[\]!$&'()*+,;=%@]+")  # RFC 3986 without the fragment: it is never sent
NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")

# Of IPv6 what is outside of the second is unassigned, local, multicast, or has an IPv4 address inside (mapped, NAT64),
# as have Teredo in 2001::/23 and 6to4, 2002::/16.
UNICAST = [ipaddress.ip_network(network) for network in ("0.0.0.0/0", "2000::/3")]
# What is not of the public internet by IANA's registries of special-purpose addresses (RFC 6890), multicast and
# reserved ones. Written out: Python's `is_global` has changed its mind between the releases this runs on, and
# takes multicast and the old 6to4 relays for public.
NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
]  # fmt: skip


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
    if parsed is None or any(parsed in network for network in NOT_PUBLIC):
        return False
    return any(parsed in network for network in UNICAST)


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


def lookup(host: str, port: int) -> list[str]:
    """The addresses of *host*, from the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


@dataclass(eq=False, repr=False)
class Delivery(threading.Thread):
    """
    One try to post *body*, in a thread of its own; *verdict* will have the state that leaves, DELIVERED, FAILED or
    REFUSED, and the reason.

    Only public addresses are connected to unless *private*. Every address of the name is checked, and the address
    that was checked is connected to, so a name whose addresses change in between (DNS rebinding) gains nothing.
    Redirects are not followed, and only the head of the answer is read.

    `abort` ends the try from another thread, however slowly the receiver answers. Nothing can end a resolver that
    hangs: its thread is left behind, and posts nothing when the resolver returns.
    """

    url: str
    headers: dict[str, str]
    body: bytes
    private: bool
    tls: ssl.SSLContext
    resolve: Callable[[str, int], list[str]] = lookup

    def __post_init__(self) -> None:
        super().__init__(name="webhook", daemon=True)
        self.verdict: Future[tuple[str, str]] = Future()
        self._guard = threading.Lock()  # guards the one below, and who gives the verdict
        self._socket: socket.socket | None = None

    def run(self) -> None:
        """Do it."""
        verdict = self._post()
        with self._guard:
            if not self.verdict.done():
                self.verdict.set_result(verdict)

    def abort(self) -> None:
        """End it now; without a verdict so far it has failed."""
        with self._guard:
            if self.verdict.done():
                return
            self.verdict.set_result((FAILED, "no answer in time"))
            if self._socket is not None:
                try:
                    # The plain socket's method: that of a TLS socket is not made for two threads.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:
                    return  # it has no connection any more

    def _post(self) -> tuple[str, str]:
        try:
            where = destination(self.url, private=self.private)
        except ValueError as problem:
            return REFUSED, str(problem)
        try:
            addresses = self.resolve(where.host, where.port)
        except (OSError, UnicodeError) as error:  # a label that is no name, in IDNA's eyes
            return FAILED, f"{where.host} has no address: {error}"
        if not self.private and not all(is_public(address) for address in addresses):
            return REFUSED, f"{where.host} has an address that is not public"
        try:
            connection = http.client.HTTPConnection(where.host, where.port)
            connection.sock = self._reach(where.port, addresses[:MOST_ADDRESSES])
            try:
                if where.secure:  # the certificate has to be that of the name
                    connection.sock = self.tls.wrap_socket(
                        connection.sock, do_handshake_on_connect=False, server_hostname=where.host.rstrip(".")
                    )
                with self._guard:
                    if self.verdict.done():
                        raise TimeoutError("no answer in time")
                    self._socket = connection.sock
                if isinstance(connection.sock, ssl.SSLSocket):
                    connection.sock.do_handshake()
                headers = {"Host": where.authority, **self.headers}
                connection.request("POST", where.target, self.body, headers)
                status = connection.getresponse().status
            finally:
                with self._guard:  # so that `abort` does not meet another file with its number
                    self._socket = None
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            return FAILED, f"{where.host} did not answer: {type(error).__name__}: {error}"
        if 200 <= status < 300:
            return DELIVERED, f"{where.host} answered {status}"
        if status == 410:  # by the specification the receiver wants no more
            return REFUSED, f"{where.host} answered 410"
        return FAILED, f"{where.host} answered {status}" + (", a redirect" if 300 <= status < 400 else "")

    def _reach(self, port: int, addresses: list[str]) -> socket.socket:
        """A connection to the first of *addresses* that takes one."""
        problem = OSError("no address")
        for address in addresses:
            if self.verdict.done():
                break
            try:
                return socket.create_connection((address, port), timeout=ANSWER_SECONDS)
            except OSError as error:
                problem = error
        raise problem
