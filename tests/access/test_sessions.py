"""How many live sessions there may be."""

import pytest

from app.access import BUSY_LOAD, LiveSessions
from app.errors import QueueFull


def counts(workers: int = 2) -> memoryview:
    return memoryview(bytearray(8 * workers)).cast("d")


def test_so_many_over_all_workers_and_no_more():
    shared = counts()
    one, other = LiveSessions(3, 3, shared, 0), LiveSessions(3, 3, shared, 1)
    one.enter("a")
    one.enter("b")
    other.enter("c")
    for full in (one, other):
        with pytest.raises(QueueFull) as refused:
            full.enter("d")
        assert refused.value.retry_after_seconds
    one.leave("a")
    one.leave("a")
    other.enter("d")
    assert (len(one), len(other), shared.tolist()) == (1, 2, [1, 2])


def test_so_many_in_one_worker_and_no_more():
    sessions = LiveSessions(10, 2, counts(), 0)
    sessions.enter("a")
    sessions.enter("b")
    with pytest.raises(QueueFull):
        sessions.enter("c")


def test_none_is_added_while_one_waits_as_long_as_it_speaks():
    sessions = LiveSessions(10, 10, counts(), 0)
    sessions.enter("a")
    sessions.heard("a", 0.1, 2.0)  # the engine was started
    sessions.enter("b")
    for _ in range(300):
        sessions.heard("b", 0.1, 0.1 * (BUSY_LOAD + 0.1))
    with pytest.raises(QueueFull, match="busy"):
        sessions.enter("c")
    for _ in range(300):
        sessions.heard("b", 0.1, 0.02)
    sessions.enter("c")
    sessions.leave("b")
    sessions.heard("b", 0.1, 9.0)  # it has left
    sessions.enter("d")
