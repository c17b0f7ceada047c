"""Events made in the background, and what is sent while none is ready."""

import threading

import pytest

from app.errors import ClientGone, EngineDied, QueueFull
from app.http.responses import COMMENT, Background, event


def background(events, *, wanted=lambda: True, keep_alive_seconds=60.0):
    body = Background(events, wanted)
    body.keep_alive_seconds = keep_alive_seconds
    return body


def test_events_follow_a_comment():
    def events(wanted):
        yield event({"n": 1})
        yield event({"text": "naïve"})

    assert list(background(events)) == [COMMENT, b'data: {"n":1}\n\n', 'data: {"text":"naïve"}\n\n'.encode()]


def test_comments_are_sent_while_nothing_is_ready():
    ready = threading.Event()

    def events(wanted):
        ready.wait(30)
        yield b"late"

    sent = iter(background(events, keep_alive_seconds=0.01))
    assert [next(sent), next(sent), next(sent)] == [COMMENT] * 3
    ready.set()
    assert [part for part in sent if part != COMMENT] == [b"late"]


def test_an_early_refusal_is_raised_where_it_still_has_a_status():
    def events(wanted):
        raise QueueFull("no seat")
        yield

    with pytest.raises(QueueFull):
        background(events).raise_early_refusal(30)


def test_an_early_event_is_not_lost():
    def events(wanted):
        yield b"first"

    stream = background(events)
    stream.raise_early_refusal(30)
    assert list(stream) == [COMMENT, b"first"]


def test_a_late_error_is_an_event_in_the_envelope():
    def events(wanted):
        yield b"first"
        raise EngineDied("it ended")

    last = list(background(events))[-1]
    assert last == (
        b'data: {"type":"error","error":{"message":"it ended","type":"server_error","param":null,'
        b'"code":"engine_died"}}\n\n'
    )


def test_an_unforeseen_error_is_an_event_without_its_secrets():
    def events(wanted):
        raise RuntimeError("a path, a key")
        yield

    last = list(background(events))[-1]
    assert b"internal_error" in last
    assert b"a key" not in last


def test_closing_tells_the_work_that_nobody_waits():
    stopped, started = threading.Event(), threading.Event()

    def events(wanted):
        try:
            started.set()
            while wanted():
                threading.Event().wait(0.001)
            raise ClientGone
            yield
        finally:
            stopped.set()

    stream = background(events)
    assert started.wait(30)
    stream.close()
    assert stopped.wait(30)


def test_work_that_never_asks_is_closed_after_its_next_event():
    closed, go = threading.Event(), threading.Event()

    def events(wanted):
        try:
            yield b"one"
            go.wait(30)
            yield b"two"
            yield b"three"
        finally:
            closed.set()

    stream = background(events)
    assert next(iter(stream)) == COMMENT
    stream.close()
    go.set()
    assert closed.wait(30)


def test_a_client_that_went_ends_the_stream():
    def events(wanted):
        yield b"one"
        raise ClientGone

    assert list(background(events)) == [COMMENT, b"one"]
