"""Checks: looked at in the background, and a disk that hangs holds up no request."""

import threading

from app import checks
from app.checks import BackgroundChecks, Check, overall
from tests.processes import until


def test_a_service_is_degraded_when_something_works():
    well, ill = Check("a"), Check("b", "is ill; heal it")
    assert [overall(found) for found in ([well], [well, ill], [ill])] == ["healthy", "degraded", "unhealthy"]


def test_they_are_looked_at_when_somebody_asks_and_not_again_at_once(clock):
    looks = []

    def look():
        looks.append(1)
        return [Check(str(len(looks)))]

    found = BackgroundChecks(look, clock)
    assert not looks
    assert [check.name for check in found.results()] == ["1"]
    assert found.results() == found.results()
    clock.advance(checks.EVERY_SECONDS)
    until(lambda: [check.name for check in found.results()] == ["2"], "it is looked again")
    found.close()
    assert len(looks) == 2


def test_a_look_that_hangs_leaves_the_results_before_and_is_told(clock):
    go_on = threading.Event()
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 2:
            go_on.wait(60)
        return [Check("disk", detail=str(len(looks)))]

    found = BackgroundChecks(look, clock)
    before = found.results()
    clock.advance(checks.EVERY_SECONDS)
    assert found.results() == before
    until(lambda: len(looks) == 2, "it is looked again")
    clock.advance(checks.HANGS_SECONDS + 1)
    *others, last = found.results()
    assert tuple(others) == before
    assert "have not ended for 11 s" in last.reason
    assert len(looks) == 2
    go_on.set()
    until(lambda: found.results() == (Check("disk", detail="2"),), "the look has ended")
    found.close()


def test_a_first_look_that_takes_long_is_no_health(clock, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(checks, "FIRST_WAIT_SECONDS", 0.01)
    found = BackgroundChecks(lambda: [Check("a")] if go_on.wait(60) else [], clock)
    assert overall(found.results()) == "unhealthy"
    go_on.set()
    until(lambda: overall(found.results()) == "healthy", "the look has ended")
    found.close()


def test_where_no_thread_is_left_that_is_said_until_there_is_one(clock):
    found = BackgroundChecks(lambda: [Check("a")], clock)
    before = threading.stack_size(1 << 60)  # more than any machine can address
    try:
        (said,) = found.results()
    finally:
        threading.stack_size(before)
    assert "can't start new thread" in said.reason
    assert found.results() == (Check("a"),)
    found.close()


def test_a_look_that_fails_is_no_health(clock, caplog):
    fails = True

    def look():
        yield Check("a")
        if fails:
            raise OSError("the disk is on fire")

    found = BackgroundChecks(look, clock)
    for _ in range(2):
        assert overall(found.results()) == "unhealthy"
    assert "the disk is on fire" in caplog.text
    fails = False
    clock.advance(checks.EVERY_SECONDS)
    until(lambda: found.results() == (Check("a"),), "it is looked again")
    found.close()
