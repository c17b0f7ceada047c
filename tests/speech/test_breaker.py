import pytest

from app.speech.breaker import Breaker


@pytest.fixture
def breaker(clock):
    return Breaker(failures=3, retry_after_seconds=60, clock=clock)


def open_up(breaker: Breaker) -> None:
    for _ in range(3):
        breaker.failed()


def test_it_asks_until_three_failed_in_a_row(breaker):
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert breaker.allows()
    assert breaker.state == "closed"
    breaker.failed()
    assert not breaker.allows()
    assert (breaker.state, breaker.retry_in_seconds) == ("open", 60)


def test_after_a_while_one_may_try(breaker, clock):
    open_up(breaker)
    clock.advance(60)
    assert breaker.state == "half-open"
    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_a_trial_that_succeeds_closes_it(breaker, clock):
    open_up(breaker)
    clock.advance(60)
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows(), breaker.allows()] == [True, True]


def test_a_trial_that_fails_opens_it_for_as_long_again(breaker, clock):
    open_up(breaker)
    clock.advance(60)
    assert breaker.allows()
    breaker.failed()
    clock.advance(59)
    assert not breaker.allows()
    clock.advance(1)
    assert breaker.allows()


def test_a_trial_nobody_reported_on_does_not_block_it(breaker, clock):
    open_up(breaker)
    clock.advance(60)
    assert breaker.allows()
    clock.advance(60)
    assert breaker.allows()
