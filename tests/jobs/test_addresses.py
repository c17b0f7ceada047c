import pytest

from app.jobs.delivery import LONGEST_URL, destination, is_public

NUMBERS = ["127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001"]  # resolvers take them for 127.0.0.1
LOCAL = ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:7f00:1]"]
PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "100.128.0.1",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
]
NOT_PUBLIC = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "224.0.1.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",
    "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1",
    "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_all_others_are_not(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("https://Example.com:8443/a/b?c=d", "example.com", 8443, "/a/b?c=d", "example.com:8443"),
        ("https://1.1.1.1/x", "1.1.1.1", 443, "/x", "1.1.1.1"),
        ("https://[2606:4700::1]:444/?q", "2606:4700::1", 444, "/?q", "[2606:4700::1]:444"),
        (
            "https://under_score.example.com.",
            "under_score.example.com.",
            443,
            "/",
            "under_score.example.com.",
        ),
        ("https://7.example.com", "7.example.com", 443, "/", "7.example.com"),
    ],
)
def test_a_url_becomes_a_destination(url, host, port, target, authority):
    where = destination(url, private=False)
    assert (where.secure, where.host, where.port, where.target) == (True, host, port, target)
    assert where.authority == authority


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is not a URL"),
        ("http://example.com", "https://"),
        ("ftp://example.com", "https://"),
        ("file:///etc/passwd", "https://"),
        ("//example.com", "https://"),
        ("https://", "names no host"),
        ("https:///path", "names no host"),
        ("https://user:word@example.com", "user name"),
        ("https://example.com@127.0.0.1", "user name"),
        ("https://example.com#part", "fragment"),
        ("https://example.com/a b", "is not a URL"),
        ("https://example.com/\r\nHost: other", "is not a URL"),
        ("https://example.com\\@127.0.0.1", "is not a URL"),
        ("https://exämple.com", "percent-encode"),
        ("https://example.com/" + "a" * LONGEST_URL, "is not a URL"),
        ("https://example.com:0", "port 0"),
        ("https://example.com:65536", "ort"),
        ("https://example.com:x", "ort"),
        ("https://exa%6dple.com", "names no host"),
        ("https://.example.com", "names no host"),
        ("https://[::1", "I"),
        *((f"https://{host}/", "names no host") for host in NUMBERS),
        *((f"https://{host}/", "not a name") for host in ("localhost", "LOCALHOST.", "redis")),
        *((f"https://{host}/", "not a public") for host in LOCAL),
        ("https://[fe80::1%25eth0]/", "names no host"),
    ],
)  # fmt: skip
def test_others_are_refused_with_the_reason(url, reason):
    with pytest.raises(ValueError, match=reason):
        destination(url, private=False)


@pytest.mark.parametrize("url", ["http://localhost:9000/x", "https://10.0.0.1", "http://[::1]/"])
def test_private_ones_are_taken_where_that_is_set(url):
    assert destination(url, private=True).host
