"""Turns go to the most urgent, to those in the background last; who can't be begun in time is refused."""

import itertools
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.engine.queueing import TURNS_BEFORE_BACKGROUND, Turns, Work
from app.errors import ClientGone, QueueFull
from tests.processes import until


def order_of_turns(*askers):
    """The names of *askers*, in the order they get a turn all have asked for; a lower-case one is in the background."""
    turns, order, threads = Turns(time.monotonic), [], []

    def work(name):
        with turns.taken(Work(background=name.islower()), lambda: True):
            order.append(name)

    with turns.taken(Work(), lambda: True):
        for number, name in enumerate(askers, 1):
            thread = threading.Thread(target=work, args=(name,))
            threads.append(thread)
            thread.start()
            while len(turns._waiting) + len(turns._in_background) < number and thread.is_alive():
                thread.join(0.001)
    for thread in threads:
        thread.join(10)
    return "".join(order)


def test_turns_are_given_in_order():
    assert order_of_turns(*"ABCDE") == "ABCDE"


def test_the_background_comes_last():
    assert order_of_turns(*"aBbCD") == "BCDab"


def test_the_background_is_not_kept_waiting_for_good():
    asked = "A" * (TURNS_BEFORE_BACKGROUND + 3)
    assert order_of_turns("x", "y", *asked) == "A" * TURNS_BEFORE_BACKGROUND + "x" + "AAA" + "y"


@pytest.mark.parametrize("patience", [60.0, math.inf])
def test_in_the_background_nobody_is_refused_for_want_of_patience(clock, patience):
    turns = Turns(clock)
    before = Work(left=600.0)
    for _ in range(20):  # the pace is known
        with turns.taken(before, lambda: True):
            clock.advance(30)
        before.left -= 30
    turns.leave(before)
    job, order = Work(left=600.0, patience_seconds=patience, background=True), []
    with turns.taken(job, lambda: True):
        pass

    def second_step():
        with turns.taken(job, lambda: True):
            order.append("job")

    with ThreadPoolExecutor(1) as pool:
        with turns.taken(Work(), lambda: True):
            waiting = pool.submit(second_step)
            until(lambda: job in turns._in_background, "the job waits")
            order.append("request")
        waiting.result(10)
    assert order == ["request", "job"]


def test_a_turn_that_ends_in_an_error_is_free_again():
    turns = Turns(time.monotonic)
    with pytest.raises(ZeroDivisionError), turns.taken(Work(background=True), lambda: True):
        raise ZeroDivisionError
    with turns.taken(Work(), lambda: False):
        pass


def test_who_is_no_longer_wanted_leaves_the_queue():
    turns = Turns(time.monotonic)
    with turns.taken(Work(), lambda: True), pytest.raises(ClientGone), turns.taken(Work(), lambda: False):
        pass
    with turns.taken(Work(), lambda: False):
        pass  # nobody waits: the turn is free


def test_who_has_less_left_keeps_the_turn_between_two_steps():
    """It asks for the next only when what the last found was passed on; meanwhile another waits."""
    turns, order = Turns(time.monotonic, reserved_seconds=60), []
    waits = threading.Thread(target=lambda: steps(other, "B", work))
    work, other = Work(90), Work(120)

    def steps(session, name, rival):
        while session.left > 0:
            with turns.taken(session, lambda: True):
                order.append(name)
                if len(order) == 1:
                    waits.start()
                until(lambda: rival in turns._waiting or rival.left <= 0, "the other waits")
            session.left -= 30
        turns.leave(session)

    steps(work, "A", other)
    waits.join(30)
    # B's first step, which opens it, comes as soon as it can.
    assert "".join(order) == "ABAABBB"


def test_a_turn_that_is_kept_for_somebody_is_given_on_when_he_leaves_or_takes_too_long():
    for leaves in (True, False):
        turns = Turns(time.monotonic, reserved_seconds=0.01 if not leaves else 60)
        short, long = Work(30), Work(60, steps=1)
        done = threading.Event()

        def wait(turns=turns, long=long, done=done):
            with turns.taken(long, lambda: True):
                done.set()

        with turns.taken(short, lambda: True):
            thread = threading.Thread(target=wait)
            thread.start()
            while not turns._waiting:
                thread.join(0.001)
        if leaves:
            turns.leave(short)
        assert done.wait(30)
        thread.join()


class Simulation:
    """Recordings by name, one after the other in seconds of a clock that only they move; a step is 30 s of audio."""

    STEP, PACE = 30.0, 0.1  # seconds of audio, and of work for each

    def __init__(self, clock):
        self.clock, self.turns = clock, Turns(clock)
        self.done: dict[str, float] = {}
        self.refused: dict[str, int | None] = {}
        self._works: dict[str, Work] = {}
        self.slowness = itertools.repeat(1.0)  # of each step, in times of PACE

    def arrive(self, name, seconds, patience=float("inf"), known=True):
        work = Work(None if known is None else seconds, patience)
        with self.turns.taken(work, lambda: True):
            self.clock.advance(0.01)
        work.left = seconds
        self.turns._learn(work)
        self._works[name] = work

    def run(self, until=float("inf")):
        """As the engine does: who is next by the turns' own judgement takes a step."""
        while self._works and self.clock() < until:
            for name, work in list(self._works.items()):
                try:
                    self.turns._check_patience(work)
                except QueueFull as refusal:
                    self.refused[name] = refusal.retry_after_seconds
                    self.turns.leave(self._works.pop(name))
            if not self._works:
                return
            self.turns._waiting.extend(self._works.values())
            work = self.turns._next()
            self.turns._waiting.clear()
            name = next(name for name, other in self._works.items() if other is work)
            with self.turns.taken(work, lambda: True):
                self.clock.advance(min(self.STEP, work.left) * self.PACE * next(self.slowness))
            work.left = max(0.0, work.left - self.STEP)
            if not work.left:
                self.done[name] = self.clock()
                self.turns.leave(self._works.pop(name))


@pytest.fixture
def simulation(clock):
    return Simulation(clock)


def test_of_many_long_ones_as_many_are_done_as_can_be_and_the_others_are_refused(simulation, clock):
    """Ten of 120 s at once, each 12 s of work, for clients that wait 62 s: by turns, none would be done."""
    began = clock()
    for number in range(10):
        simulation.arrive(f"{number}", 120, patience=62)
    simulation.run()
    assert list(simulation.done) == ["0", "1", "2", "3", "4"]
    assert max(simulation.done.values()) - began <= 62
    assert len(simulation.done) + len(simulation.refused) == 10
    assert all(1 <= wait <= 60 for wait in simulation.refused.values())


@pytest.mark.parametrize("slowness", [(0.5, 0.5, 3.0, 0.5, 0.5), (1.0, 0.2, 1.8), (2.5, 0.25, 0.25)])
def test_a_step_that_took_long_does_not_refuse_who_could_be_done(simulation, clock, slowness):
    """Steps differ: with much speech in them, or other programs on the machine. On average each takes 12 s again."""
    simulation.slowness = itertools.cycle(slowness)
    began = clock()
    for number in range(10):
        simulation.arrive(f"{number}", 120, patience=70)
    simulation.run()
    assert list(simulation.done) == ["0", "1", "2", "3", "4"]
    assert max(simulation.done.values()) - began <= 70


@pytest.mark.parametrize("patience", range(60, 72))
def test_where_the_machine_grows_slower_nobody_is_begun_whose_client_leaves_before_the_end(
    simulation, clock, patience
):
    simulation.slowness = (1 + number / 50 for number in itertools.count())
    began = clock()
    for number in range(10):
        simulation.arrive(f"{number}", 120, patience=patience)
    simulation.run()
    assert max(simulation.done.values()) - began <= patience
    assert len(simulation.done) >= 4


def test_a_short_one_does_not_wait_for_a_long_one(simulation, clock):
    simulation.arrive("long", 3600)
    simulation.run(until=clock() + 30)
    asked = clock()
    simulation.arrive("short", 10, patience=60)
    simulation.run(until=asked + 20)
    assert simulation.done["short"] - asked <= 2 * Simulation.STEP * Simulation.PACE


def test_a_long_one_is_done_under_a_stream_of_short_ones(simulation, clock):
    """The short ones alone are two thirds of what the engine can do."""
    began = clock()
    simulation.arrive("long", 600)
    number = 0
    while "long" not in simulation.done and clock() < began + 1000:
        number += 1
        simulation.arrive(f"{number}", 20)
        simulation.run(until=began + 3 * number)
        clock.now = max(clock.now, began + 3 * number)
    assert "long" in simulation.done
    assert simulation.done["long"] - began < 400  # three times what is left for it


def test_one_that_was_not_begun_is_not_overtaken_for_good(simulation, clock):
    """Eight short ones wait at any time, and each asked later."""
    simulation.arrive("long", 60, patience=62)
    number = 0
    while "long" in simulation._works and number < 200:
        while len(simulation._works) < 9:
            number += 1
            simulation.arrive(f"{number}", 20, patience=60)
        simulation.run(until=clock() + 0.01)
    assert "long" in simulation.done


def test_what_takes_longer_than_its_client_waits_is_begun_where_nothing_is_before_it(simulation):
    simulation.arrive("hour", 3600, patience=60)
    simulation.run()
    assert "hour" in simulation.done


def test_a_client_that_says_so_waits_longer(simulation, clock):
    for name in ("first", "second"):
        simulation.arrive(name, 3600, patience=1000)
    simulation.run(until=clock() + 60)
    assert not simulation.refused
    simulation.arrive("third", 120, patience=0)
    simulation.run(until=clock() + 60)
    assert set(simulation.refused) <= {"third"}


def test_who_was_begun_is_not_refused_any_more(simulation, clock):
    simulation.arrive("first", 300, patience=60)
    simulation.run(until=clock() + 10)
    for number in range(5):
        simulation.arrive(f"{number}", 20, patience=60)
    simulation.run()
    assert not simulation.refused
    assert len(simulation.done) == 6


def test_a_refusal_says_how_it_could_be_done_all_the_same(simulation, clock):
    simulation.arrive("first", 3600)
    simulation.run(until=clock() + 30)
    work = Work(patience_seconds=60)
    with simulation.turns.taken(work, lambda: True):
        work.left = 5000
    with pytest.raises(QueueFull, match="Prefer: respond-async") as refusal:
        simulation.turns._check_patience(work)
    assert refusal.value.retry_after_seconds == 60
