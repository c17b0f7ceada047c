"""Turns are given in the order they were asked for, to those in the background last."""

import threading

import pytest

from app.engine.queueing import TURNS_BEFORE_BACKGROUND, Turns
from app.errors import ClientGone


def order_of_turns(*askers):
    """The names of *askers*, in the order they get a turn all have asked for; a lower-case one is in the background."""
    turns, order, threads = Turns(), [], []

    def work(name):
        with turns.taken(lambda: True, background=name.islower()):
            order.append(name)

    with turns.taken(lambda: True):
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


def test_a_turn_that_ends_in_an_error_is_free_again():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.taken(lambda: True, background=True):
        raise ZeroDivisionError
    with turns.taken(lambda: False):
        pass


def test_who_is_no_longer_wanted_leaves_the_queue():
    turns = Turns()
    with turns.taken(lambda: True), pytest.raises(ClientGone), turns.taken(lambda: False):
        pass
    with turns.taken(lambda: False):
        pass  # nobody waits: the turn is free
