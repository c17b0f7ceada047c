"""Turns are given in the order they were asked for."""

import threading

import pytest

from app.errors import ClientGone
from app.voice.turns import Turns


def test_turns_are_given_in_order():
    turns, order, threads = Turns(), [], []

    def work(number):
        with turns.taken(lambda: True):
            order.append(number)

    with turns.taken(lambda: True):
        for number in range(5):
            thread = threading.Thread(target=work, args=(number,))
            threads.append(thread)
            thread.start()
            while len(turns._queue) < number + 2:
                thread.join(0.001)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_who_is_no_longer_wanted_leaves_the_queue():
    turns = Turns()
    with turns.taken(lambda: True), pytest.raises(ClientGone), turns.taken(lambda: False):
        pass
    with turns.taken(lambda: False):
        pass  # nobody waits: the turn is free
