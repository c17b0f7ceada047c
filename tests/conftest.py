"""What tests share: engines, the app, and the rule that nothing is left behind."""

import contextlib
import os
import sys
import threading
from pathlib import Path

import pytest

from app.engine.budget import Budget
from app.engine.process import Engine
from app.engine.program import Program

from .server import Server


class Clock:
    """A time that only passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def budget():
    return Budget(limit_mb=1000, reserve_mb=0, weigh_web=lambda: 50.0)


@pytest.fixture
def engine(budget, clock):
    """A real process that speaks the wire and knows no speech."""
    program = Program((sys.executable, "-m", "tests.fake_engine"), {}, cost_mb=100)
    engine = Engine("fake", program, budget, seats=2, timeout_seconds=60, idle_after_seconds=60, clock=clock)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def server():
    """The real server, with engines that go soon; its own children are not this process's."""
    with Server(ENGINE_IDLE_SECONDS="2") as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """A test that leaves a thread or a child process behind fails."""
    before, children = set(threading.enumerate()), _children()
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before
    assert _children() - children == set()


def _children() -> set[int]:
    """Processes this one started and has not seen the end of."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(stat.parent.name))
    return found
