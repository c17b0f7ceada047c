"""What fits is admitted, unused engines make room, the rest is refused with the numbers."""

import pytest

from app.engine.budget import Budget
from app.errors import InsufficientMemory


class Consumer:
    def __init__(self, name, budget, *, unused=True, measured=0.0, last_used=0.0):
        self.name, self.budget, self.unused, self.measured = name, budget, unused, measured
        self.last_used = last_used

    def measured_mb(self):
        return self.measured

    def stop_if_unused(self):
        if self.unused:
            self.budget.release(self)
        return self.unused


@pytest.fixture
def budget():
    return Budget(limit_mb=300, reserve_mb=20, weigh_web=lambda: 50.0)


def test_engines_are_admitted_until_the_reserve(budget):
    budget.admit(Consumer("whisper", budget, unused=False), 150)
    budget.admit(Consumer("speech", budget, unused=False), 80)
    assert budget.used_mb() == 280


def test_the_refusal_names_the_numbers(budget):
    budget.admit(Consumer("whisper", budget, unused=False), 150)
    with pytest.raises(InsufficientMemory) as refusal:
        budget.admit(Consumer("speech", budget), 81)
    for part in ("81 MB", "300 MB", "200 MB", "20 MB", "MEMORY_BUDGET_MB"):
        assert part in str(refusal.value)


def test_an_unused_engine_makes_room(budget):
    whisper = Consumer("whisper", budget)
    budget.admit(whisper, 150)
    budget.admit(Consumer("speech", budget), 200)
    assert budget.used_mb() == 250


def test_the_least_recently_used_makes_room_first(budget):
    """Not the first that was started."""
    older, newer = (Consumer(name, budget, last_used=used) for name, used in (("base", 1.0), ("tiny", 2.0)))
    budget.admit(newer, 90)
    budget.admit(older, 90)
    budget.admit(Consumer("speech", budget), 80)
    assert budget.used_mb() == 220
    budget.admit(newer, 90)
    assert budget.used_mb() == 220, "the newer one still has its room"


def test_an_engine_counts_with_what_it_weighs_when_that_is_more(budget):
    budget.admit(Consumer("whisper", budget, unused=False, measured=200.0), 150)
    assert budget.used_mb() == 250
    with pytest.raises(InsufficientMemory):
        budget.admit(Consumer("speech", budget), 50)


def test_a_process_that_needs_more_than_before_is_admitted_again(budget):
    speech = Consumer("speech", budget, unused=False)
    budget.admit(speech, 30)
    budget.admit(speech, 190)
    assert budget.used_mb() == 240
    budget.admit(speech, 30)
    assert budget.used_mb() == 240
    with pytest.raises(InsufficientMemory):
        budget.admit(speech, 250)


def test_what_never_fits_is_known_without_trying(budget):
    assert budget.max_single_mb() == 230
