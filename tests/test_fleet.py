"""The simulation behind docs/scaling.md is held to what queueing theory says, and the document to the simulation."""

import math
import random
import statistics

import pytest

from app.config import PROJECT
from benchmarks import fleet
from benchmarks.fleet import Job, arrivals, simulate


def erlang_c(workers, load):
    """The chance that a job waits, in a queue M/M/c with *load* busy workers on the average (Erlang 1917)."""
    terms = [load**k / math.factorial(k) for k in range(workers)]
    last = load**workers / math.factorial(workers) * workers / (workers - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("workers", "busy"), [(1, 0.7), (4, 0.8), (20, 0.9)])
def test_waits_are_those_of_erlang(workers, busy):
    """Poisson arrivals, exponential work of one second on the average: M/M/c."""
    draw = random.Random(1)
    load = workers * busy
    jobs = [Job(now, draw.expovariate(1.0)) for now in arrivals(load * 3600, 150_000, draw)]
    waits = simulate(jobs, workers).waits[10_000:]
    chance = erlang_c(workers, load)
    assert sum(wait > 0 for wait in waits) / len(waits) == pytest.approx(chance, abs=0.02)
    assert statistics.fmean(waits) == pytest.approx(chance / (workers - load), rel=0.1)
    ninety_fifth = max(0.0, math.log(chance / 0.05) / (workers - load))
    assert fleet.percentile(waits, 95) == pytest.approx(ninety_fifth, rel=0.1)


def test_work_that_is_always_the_same_waits_half_as_long():
    """M/D/1, by Pollaczek and Khinchine."""
    draw = random.Random(2)
    jobs = [Job(now, 1.0) for now in arrivals(0.8 * 3600, 150_000, draw)]
    waits = simulate(jobs, 1).waits[10_000:]
    assert statistics.fmean(waits) == pytest.approx(0.8 / (2 * (1 - 0.8)), rel=0.05)


def test_parts_are_done_side_by_side_when_the_first_look_is_over():
    outcome = simulate([Job(10.0, 1.0, [4.0, 4.0, 4.0])], workers=2)
    assert outcome.waits == [0.0]
    assert outcome.turnarounds == [1.0 + 4.0 + 4.0]


def test_parts_stand_behind_what_comes_after_them():
    """The second job comes while the only worker does the first of three parts."""
    outcome = simulate([Job(0.0, 1.0, [4.0, 4.0, 4.0]), Job(4.0, 1.0)], 1)
    assert outcome.waits == [0.0, 1.0]
    assert outcome.turnarounds == [14.0, 2.0]


def test_all_work_is_done_by_no_more_than_the_workers():
    jobs = fleet.day(1_000, 1.0)
    outcome = simulate(jobs, 12)
    assert min(outcome.waits) == 0
    assert all(wait < done for wait, done in zip(outcome.waits, outcome.turnarounds, strict=True))
    alone = simulate(jobs, len(jobs) * 20)
    assert max(alone.waits) == 0
    assert sum(alone.turnarounds) < sum(outcome.turnarounds)


def test_the_mix_is_as_long_as_it_says():
    draw = random.Random(3)
    lengths = [fleet.recording_seconds(draw) for _ in range(100_000)]
    assert statistics.fmean(lengths) == pytest.approx(fleet.mean_recording_seconds(), rel=0.02)


def test_the_document_has_the_tables_the_simulation_gives():
    document = (PROJECT / "docs" / "scaling.md").read_text()
    for table in (fleet.waits_table(fleet.day(1_000, fleet.LOADS[1_000])), fleet.costs_table()):
        assert "\n".join(table) in document
