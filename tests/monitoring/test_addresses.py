"""Who is refused most often: masked, bounded, and not lost among thousands."""

import random

import pytest

from app.logs import UNMATCHED, RequestRecord
from app.monitoring import reports
from app.monitoring.monitoring import Monitoring, masked
from app.monitoring.shared_memory import SharedMemory, WorkerSlot


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.77", "203.0.113.x"),
        ("2001:db8:0:1:aaaa:bbbb:cccc:dddd", "2001:db8:0:1::x"),
        ("::ffff:203.0.113.9", "203.0.113.x"),
        ("", "unknown"),
        ("<script>", "unknown"),
        ("203.0.113.77\r\nX: y", "unknown"),
    ],
)
def test_the_last_part_of_an_address_is_not_kept(address, shown):
    assert masked(address) == shown


def refused(monitoring, peer, count=1, status=401):
    for _ in range(count):
        monitoring.record_request(RequestRecord("GET", UNMATCHED, status, "id", path="/x", peer=peer))


def addresses(monitoring):
    found = reports.security(monitoring, 3600)["addresses"]
    return [(one["address"], one["refusals"]) for one in found]


def test_addresses_of_several_workers_are_counted_together_the_most_frequent_first():
    memory = SharedMemory(2)
    one, other = (Monitoring(WorkerSlot(memory, number), lambda: []) for number in range(2))
    refused(one, "203.0.113.1", 2)
    refused(other, "203.0.113.2")
    refused(other, "198.51.100.1", 4)
    assert addresses(one) == addresses(other) == [("198.51.100.x", 4), ("203.0.113.x", 3)]


def test_frequent_ones_are_found_among_thousands_and_a_scan_hides_no_other_refusal():
    monitoring = Monitoring(WorkerSlot(SharedMemory()), lambda: [])
    refused(monitoring, "192.0.2.1", 3)
    peers = (
        ["203.0.113.1"] * 1000 + ["198.51.100.1"] * 600 + [f"10.{n // 256}.{n % 256}.1" for n in range(3000)]
    )
    random.Random(1).shuffle(peers)
    for peer in peers:
        refused(monitoring, peer, status=404)
    assert [address for address, _ in addresses(monitoring)[:2]] == ["203.0.113.x", "198.51.100.x"]
    shown = reports.security(monitoring, 3600)["recent"]
    assert [(one["reason"], one["address"]) for one in shown] == [("authentication_failed", "192.0.2.x")] * 3
