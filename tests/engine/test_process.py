"""The owner of an engine process, with a real process."""

import os
import resource
import signal
import sys
import threading
from contextlib import closing, contextmanager, nullcontext

import pytest

from app.config import Settings
from app.engine.budget import Budget
from app.engine.launch import Program
from app.engine.process import Engine
from app.engine.protocol import Message
from app.errors import ClientGone, EngineDied, EngineTimeout, InsufficientMemory, InvalidAudio, QueueFull

from ..processes import until
from .test_budget import Consumer


def words(session):
    return [message.header["text"] for message in session]


def ask(engine, *steps, **options):
    return engine.session({"steps": list(steps)}, **options)


def test_a_session_yields_what_each_step_found(engine):
    assert words(ask(engine, "one", "two", "three")) == ["one", "two", "three"]


def test_a_payload_comes_with_its_message(engine):
    (message,) = ask(engine, "one")
    assert message.payload == b"one"


def test_the_process_starts_with_the_first_session_and_serves_the_next(engine):
    assert engine.state().state == "stopped"
    words(ask(engine, "one"))
    pid = engine.state().pid
    words(ask(engine, "two"))
    assert engine.state().pid == pid
    assert engine.starts == 1


@contextmanager
def no_program(engine):
    program = engine.program
    engine.program = program._replace(command=("/nowhere/python",))
    try:
        yield
    finally:
        engine.program = program


@contextmanager
def no_descriptors(engine):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_threads(engine):
    before = threading.stack_size(1 << 60)  # more than any machine can address
    try:
        yield
    finally:
        threading.stack_size(before)


@pytest.mark.parametrize("missing", [no_program, no_descriptors, no_threads])
def test_what_cant_be_started_is_said_and_holds_no_memory(budget, engine, missing):
    with missing(engine), pytest.raises(EngineDied) as refusal:
        words(ask(engine, "one"))
    assert "can't be started" in str(refusal.value)
    assert not engine.is_running
    budget.admit(Consumer("other", budget), budget.max_single_mb())
    assert words(ask(engine, "one")) == ["one"]


def test_who_cant_be_warmed_up_is_another_time(engine):
    with no_threads(engine):
        engine.warm()
    assert not engine.is_running
    engine.warm()
    until(lambda: engine.is_running, "it is started")


def test_of_a_process_that_ends_one_line_is_logged_whatever_was_open_in_it(engine, caplog):
    with closing(ask(engine, "a", "b")) as first, closing(ask(engine, "a", "b")) as second:
        next(first), next(second)
        os.kill(engine.state().pid, signal.SIGKILL)
        for session in (first, second):
            with pytest.raises(EngineDied, match="SIGKILL"):
                next(session)
    assert caplog.text.count("ended: SIGKILL") == 1


def test_a_process_that_died_unused_is_replaced_and_the_new_one_counts(budget, engine):
    words(ask(engine, "one"))
    pid = engine.state().pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: engine._process.poll() is not None, "it has ended")
    with closing(ask(engine, "one", "two")) as session:
        next(session)
        assert engine.state().pid not in (pid, None)
        assert budget.used_mb() == 150


@pytest.mark.parametrize("end", [None, ClientGone(), InvalidAudio("no"), ZeroDivisionError()])
def test_a_session_whose_questions_end_or_fail_is_forgotten(engine, end):
    def questions():
        yield Message({})
        if end is not None:
            raise end

    with nullcontext() if end is None else pytest.raises(type(end)):
        words(ask(engine, "one", "two", "three", questions=questions()))
    assert words(ask(engine, "count")) == ["1"]


def test_sessions_take_turns_step_by_step(engine):
    with closing(ask(engine, "a1", "a2", "a3")) as first, closing(ask(engine, "b1", "b2", "b3")) as second:
        order = [next(session).header["text"] for _ in range(3) for session in (first, second)]
    assert order == ["a1", "b1", "a2", "b2", "a3", "b3"]


def test_an_idle_process_ends_when_its_time_is_up_and_not_before(engine, clock):
    words(ask(engine, "one"))
    clock.advance(59)
    assert not engine.stop_if_idle()
    clock.advance(1)
    assert engine.stop_if_idle()
    assert engine.state().state == "stopped"


def test_idle_time_counts_from_the_end_of_the_last_session(engine, clock):
    with closing(ask(engine, "one", "two")) as session:
        next(session)
        clock.advance(600)
        assert not engine.stop_if_idle()
    clock.advance(59)
    assert not engine.stop_if_idle()


def test_the_watching_thread_ends_an_idle_process_by_itself(engine, clock):
    engine._idle_after = 0
    words(ask(engine, "one"))
    until(lambda: engine.state().state == "stopped", "it has ended")


def test_one_session_more_than_there_are_seats_is_refused_at_once(engine):
    with closing(ask(engine, "a", "b")) as first, closing(ask(engine, "a", "b")) as second:
        next(first), next(second)
        with pytest.raises(QueueFull) as refusal:
            next(ask(engine, "one"))
        assert refusal.value.retry_after_seconds >= 1
    assert words(ask(engine, "one")) == ["one"]


def test_a_session_in_the_background_takes_no_seat_and_its_turns_come_last(engine):
    with closing(ask(engine, "job1", "job2", background=True)) as job:
        order = [next(job).header["text"]]
        with closing(ask(engine, "a")) as first, closing(ask(engine, "b")) as second:
            next(first), next(second)
            with pytest.raises(QueueFull):
                next(ask(engine, "one"))
            assert engine.state().seats_taken == 2
        order.append(next(job).header["text"])
    assert order == ["job1", "job2"]


def test_an_engine_at_work_in_the_background_is_not_idle(engine, clock):
    with closing(ask(engine, "job1", "job2", background=True)) as job:
        next(job)
        clock.advance(600)
        assert not engine.stop_if_idle()
    clock.advance(60)
    assert engine.stop_if_idle()


def test_in_the_background_room_is_not_waited_for(budget, engine):
    budget.admit(Consumer("other", budget, unused=False), 900)
    with pytest.raises(InsufficientMemory):
        words(ask(engine, "one", background=True, patience_seconds=1e9))


def test_refused_clients_are_told_to_come_back_one_after_the_other(engine, clock):
    def refusal():
        with pytest.raises(QueueFull) as refused:
            next(ask(engine, "one"))
        return refused.value.retry_after_seconds

    with closing(ask(engine, "a", "b")) as first, closing(ask(engine, "a", "b")) as second:
        next(first), next(second)
        waits = [refusal() for _ in range(5)]
        assert waits == sorted(set(waits))
        clock.advance(waits[-1])  # all are back, or will not come
        assert refusal() == waits[0]
        assert max(refusal() for _ in range(100)) == 60


def test_a_refusal_is_raised_as_its_error_and_the_process_goes_on(engine):
    with pytest.raises(InvalidAudio, match="not audio") as refusal:
        words(ask(engine, "refuse"))
    assert refusal.value.param == "file"
    assert words(ask(engine, "one")) == ["one"]
    assert engine.starts == 1


def test_an_engine_that_dies_is_a_clear_error_and_the_next_session_gets_a_new_one(engine):
    with pytest.raises(EngineDied, match="exit status 7"):
        words(ask(engine, "one", "die"))
    assert words(ask(engine, "one")) == ["one"]
    assert engine.starts == 2


def test_a_process_killed_between_two_sessions_is_replaced_unnoticed(engine):
    words(ask(engine, "one"))
    os.kill(engine.state().pid, signal.SIGKILL)
    os.waitid(os.P_PID, engine.state().pid, os.WEXITED | os.WNOWAIT)
    assert words(ask(engine, "one")) == ["one"]
    assert engine.starts == 2


def test_a_session_whose_process_ended_in_another_session_ends_too(engine):
    with closing(ask(engine, "a", "b")) as bystander:
        next(bystander)
        with pytest.raises(EngineDied):
            words(ask(engine, "die"))
        with pytest.raises(EngineDied):
            next(bystander)
    assert words(ask(engine, "one")) == ["one"]


def test_a_new_process_stays_counted_when_another_session_of_the_old_one_ends(engine, budget):
    with closing(ask(engine, "a", "b")) as bystander:
        next(bystander)
        with pytest.raises(EngineDied):
            words(ask(engine, "die"))
        with closing(ask(engine, "c", "d")) as successor:
            next(successor)
            counted = budget.used_mb()
            with pytest.raises(EngineDied):
                next(bystander)
            assert budget.used_mb() == counted == 150


def test_a_broken_wire_ends_the_process(engine):
    with pytest.raises(EngineDied):
        words(ask(engine, "garbage"))
    assert words(ask(engine, "one")) == ["one"]


def test_what_a_library_prints_does_not_break_the_wire(engine):
    assert words(ask(engine, "print", "one")) == ["print", "one"]


def test_an_engine_without_progress_is_killed_and_replaced(engine, clock, caplog):
    def time_passes():
        clock.advance(61)
        return True

    with pytest.raises(EngineTimeout, match="no progress for 60 s"):
        words(ask(engine, "hang", wanted=time_passes))
    assert "ended: no progress for 60 s" in caplog.text
    assert "SIGKILL" not in caplog.text  # which the runbook has for a kernel that is short of memory
    assert words(ask(engine, "one")) == ["one"]


def test_a_process_that_does_not_even_take_a_question_is_replaced(budget):
    program = Program((sys.executable, "-m", "tests.fake_engine"), {}, cost_mb=100)
    engine = Engine("fake", program, budget, Settings(engine_seats=2))
    words(ask(engine, "one"))
    os.kill(engine.state().pid, signal.SIGSTOP)  # more than a pipe holds is never read
    patient, engine._timeout = engine._timeout, 1  # now, since to start one may take longer
    with pytest.raises(EngineTimeout, match="no progress for 1 s"):
        words(engine.session({"steps": ["one"], "text": "a" * 500_000}))
    engine._timeout = patient
    assert words(ask(engine, "one")) == ["one"]
    engine.close()


def test_a_client_that_goes_away_frees_its_seat_in_mid_step(engine):
    with pytest.raises(ClientGone):
        words(ask(engine, "hang", wanted=lambda: False))
    assert engine.state().seats_taken == 0


def test_a_client_that_goes_away_while_waiting_frees_its_seat(engine):
    hanging = ask(engine, "one", "hang", wanted=lambda: not gone.is_set())
    gone = threading.Event()
    next(hanging)
    worker = threading.Thread(target=lambda: pytest.raises(ClientGone, next, hanging))
    worker.start()
    until(lambda: engine._turns._holder, "it hangs")
    with pytest.raises(ClientGone):
        words(ask(engine, "one", wanted=lambda: False))
    assert engine.state().seats_taken == 1
    gone.set()
    worker.join()
    assert engine.state().seats_taken == 0


def test_a_session_closed_early_is_forgotten_and_the_next_one_reads_its_own_answers(engine):
    session = ask(engine, "a", "b", "c")
    next(session)
    session.close()
    assert words(ask(engine, "one", "two")) == ["one", "two"]


def test_close_ends_a_session_at_work(engine):
    with closing(ask(engine, "a", "b")) as session:
        next(session)
        engine.close()
        with pytest.raises(EngineDied):
            next(session)
    with pytest.raises(EngineDied, match="shutting down"):
        words(ask(engine, "one"))


def test_the_process_leaves_when_its_owner_is_gone(engine):
    words(ask(engine, "one"))
    process = engine._process
    process.stdin.close()
    assert process.wait(60) == 0


def test_the_process_ignores_the_signals_a_host_sends_to_everybody(engine):
    words(ask(engine, "one"))
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(engine.state().pid, number)
    assert words(ask(engine, "two")) == ["two"]
    assert engine.starts == 1


def test_the_process_is_the_one_the_kernel_ends_first(engine):
    words(ask(engine, "one"))
    with open(f"/proc/{engine.state().pid}/oom_score_adj") as score:
        assert score.read().strip() == "1000"


def test_an_engine_that_does_not_fit_is_refused_and_its_seat_freed(engine):
    with pytest.raises(InsufficientMemory, match="needs 2000 MB"):
        words(ask(engine, "one", cost_mb=2000))
    assert engine.state().seats_taken == 0
    assert words(ask(engine, "one")) == ["one"]


def test_an_engine_in_use_all_the_time_lets_another_have_the_room():
    """Two clients that ask for one by turns: there was always a session open, and the other waited in vain."""
    budget = Budget(limit_mb=210, reserve_mb=0, weigh_web=lambda: 50.0)
    program = Program((sys.executable, "-m", "tests.fake_engine"), {}, cost_mb=100)
    settings = Settings(engine_seats=4)
    engines = [Engine(name, program, budget, settings) for name in ("busy", "other")]
    busy, other = engines
    over = threading.Event()

    def keep_busy():
        while not over.is_set():
            words(ask(busy, *["word"] * 50, patience_seconds=60))

    clients = [threading.Thread(target=keep_busy) for _ in range(2)]
    try:
        for client in clients:
            client.start()
        until(lambda: busy.state().state == "working", "the one is in use")
        assert words(ask(other, "at", "last", patience_seconds=60)) == ["at", "last"]
        until(lambda: busy.starts == 2, "the room goes back to the first")
    finally:
        over.set()
        for client in clients:
            client.join()
        for engine in engines:
            engine.close()


def test_a_session_that_waits_for_its_turn_keeps_no_room(engine, budget):
    """It has no process yet; a session that has one is never ended."""
    with closing(ask(engine, "one", "two")) as under_way:
        next(under_way)
        assert not engine.stop_if_unused()
    assert engine.stop_if_unused()


def test_a_warm_engine_is_started_once_and_ends_like_any_other(engine, clock):
    for _ in range(3):
        engine.warm()
    until(lambda: engine.state().state == "idle", "it is warm")
    assert words(ask(engine, "one")) == ["one"]
    assert engine.starts == 1
    clock.advance(60)
    assert engine.stop_if_idle()


def test_an_engine_that_does_not_fit_is_not_warmed_and_nothing_is_said(engine, budget):
    budget.admit(Consumer("another", budget, unused=False), 900)
    engine.warm()
    until(lambda: not engine._warming, "it was given up")
    assert engine.starts == 0
