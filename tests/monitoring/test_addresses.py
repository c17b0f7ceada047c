"""Who is refused most often, masked and bounded."""

import random

import pytest

from app.monitoring import addresses
from app.monitoring.addresses import ROWS, TABLE_BYTES, Addresses


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
    assert addresses.masked(address) == shown


def test_few_addresses_are_counted_exactly():
    memory = memoryview(bytearray(TABLE_BYTES))
    table = Addresses(memory)
    for count, address in enumerate(("a", "b", "c"), 1):
        for _ in range(count):
            table.add(address)
    assert addresses.merged([memory], 2) == [("c", 3, 0), ("b", 2, 0)]


def test_frequent_ones_are_found_among_thousands():
    memory = memoryview(bytearray(TABLE_BYTES))
    table = Addresses(memory)
    seen = ["frequent"] * 1000 + ["often"] * 600 + [f"10.{n // 256}.{n % 256}.x" for n in range(5000)]
    random.Random(1).shuffle(seen)
    for address in seen:
        table.add(address)
    rows = addresses.read(memory)
    assert len(rows) == ROWS
    found = {address: (count, excess) for address, count, excess in rows}
    for address, true in (("frequent", 1000), ("often", 600)):
        count, excess = found[address]
        assert count - excess <= true <= count


def test_tables_of_several_workers_add_up_and_a_successor_goes_on():
    memories = [memoryview(bytearray(TABLE_BYTES)) for _ in range(2)]
    for memory in memories:
        Addresses(memory).add("203.0.113.x")
    Addresses(memories[0]).add("203.0.113.x")
    assert addresses.merged(memories, 5) == [("203.0.113.x", 3, 0)]
