"""Bounded records in shared memory: the last ones, whole, whoever reads them."""

import mmap
import os

from app.monitoring.shared_memory import Ring


def ring(size=1024):
    return Ring(memoryview(bytearray(size)))


def contents(found):
    return [record.content for record in found.records()]


def test_records_come_back_in_order_with_their_times():
    found = ring()
    found.append({"route": "/health"}, 10.5)
    found.append(["é\n", 2], 11.0)
    assert [(record.time, record.content) for record in found.records()] == [
        (10.5, {"route": "/health"}),
        (11.0, ["é\n", 2]),
    ]


def test_old_records_make_room_for_new_ones():
    found = ring(512)
    for number in range(1000):
        found.append(["x" * (number % 37), number], number)
        assert contents(found)[-1] == ["x" * (number % 37), number]
    numbers = [content[1] for content in contents(found)]
    assert numbers == list(range(numbers[0], 1000))
    assert 5 < len(numbers) < 30


def test_a_record_too_large_is_left_out_and_the_others_stay():
    found = ring(512)
    found.append("kept", 1)
    assert found.append("x" * 200, 2) == 0
    assert contents(found) == ["kept"]


def test_damaged_bytes_are_no_record():
    memory = bytearray(512)
    found = Ring(memoryview(memory))
    found.append("first", 1)
    found.append("second", 2)
    at = memory.index(b"second")
    memory[at : at + 6] = b"SECOND"
    assert contents(found) == ["first"]


def test_what_happened_since_then_starts_with_the_record_before():
    found = ring(512)
    assert found.since(5) is None
    for number in range(100):
        found.append([number], float(number))
    oldest = next(found.records())
    assert found.since(97.5).content == [97]
    assert found.since(98).content == [98]
    assert found.since(1000).content == [99]
    assert found.since(0) == oldest
    assert oldest.time > 0


def test_another_process_reads_whole_records_while_they_are_written():
    shared = memoryview(mmap.mmap(-1, 4096))
    found = Ring(shared)
    writer = os.fork()
    if not writer:
        for number in range(20_000):
            found.append([number, "y" * (number % 200)], number)
        os._exit(0)
    newest = -1
    while os.waitpid(writer, os.WNOHANG) == (0, 0):
        numbers = [record.content[0] for record in found.records()]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True
        assert not numbers or numbers[-1] >= newest
        newest = numbers[-1] if numbers else newest
        last = found.since(float("inf"))
        assert last is None or last.content[0] >= newest
    assert contents(found)[-1][0] == 19_999
