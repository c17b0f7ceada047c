"""Who is refused most often: a bounded table of masked addresses in memory that all workers share."""

from __future__ import annotations

import ipaddress
import struct
import threading

ROW = struct.Struct("<24sII")  # masked address, how often, by how much that may be too high
ROWS = 64
TABLE_BYTES = ROW.size * ROWS


def masked(address: str) -> str:
    """*address* without its last octet, 203.0.113.x; of version 6 the network, 2001:db8:0:1::x."""
    try:
        parsed = ipaddress.ip_address(address.strip())
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return ":".join(f"{int(group, 16):x}" for group in parsed.exploded.split(":")[:4]) + "::x"
    return str(getattr(parsed, "ipv4_mapped", None) or parsed).rpartition(".")[0] + ".x"


class Addresses:
    """
    The addresses with the most refusals, by the space-saving rule (Metwally, Agrawal, El Abbadi 2005): a new
    address takes the place of the least frequent and inherits its count, so frequent ones are never lost.

    Written by one process, its threads in turn; `merged` reads the tables of all.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory, self._lock = memory, threading.Lock()
        # address: its row, its count, what it inherited
        self._rows = {row[0]: [number, *row[1:]] for number, row in enumerate(read(memory))}

    def add(self, address: str) -> None:
        """One more refusal of a masked *address*."""
        with self._lock:
            row = self._rows.get(address)
            if row is None:
                if len(self._rows) < ROWS:
                    row = [len(self._rows), 0, 0]
                else:
                    least = min(self._rows, key=lambda name: self._rows[name][1])
                    number, count, _ = self._rows.pop(least)
                    row = [number, count, count]
                self._rows[address] = row
            row[1] += 1
            at = row[0] * ROW.size
            self._memory[at : at + ROW.size] = ROW.pack(address.encode(), row[1], row[2])


def read(memory: memoryview) -> list[tuple[str, int, int]]:
    """The rows of a table: address, count, by how much the count may be too high."""
    rows = ROW.iter_unpack(memory[:TABLE_BYTES])
    return [(name.rstrip(b"\0").decode(), count, excess) for name, count, excess in rows if count]


def merged(tables: list[memoryview], most: int) -> list[tuple[str, int, int]]:
    """The *most* frequent of all tables, most frequent first."""
    sums: dict[str, tuple[int, int]] = {}
    for table in tables:
        for address, count, excess in read(table):
            before = sums.get(address, (0, 0))
            sums[address] = (before[0] + count, before[1] + excess)
    ordered = sorted(sums.items(), key=lambda item: -item[1][0])
    return [(address, count, excess) for address, (count, excess) in ordered[:most]]
