"""What tests share: engines, the app, and the rule that nothing is left behind."""

import os
import sys
import threading

import pytest

from app.voice.budget import Budget
from app.voice.engine import Engine, Program


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


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """A test that leaves a thread or a child process behind fails."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before
    with pytest.raises(ChildProcessError):  # the system knows of no child of ours
        os.waitpid(-1, os.WNOHANG)
