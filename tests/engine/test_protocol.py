"""Messages arrive whole, and what is not a message is refused."""

import os
import threading

import pytest

from app.engine import protocol


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    ends = [reading, writing]
    yield ends
    for end in ends:
        if end is not None:
            os.close(end)


def hang_up(pipe):
    os.close(pipe[1])
    pipe[1] = None


def test_a_message_arrives_as_it_was_sent(pipe):
    protocol.send(pipe[1], {"kind": "word", "text": "Grüße 💡"}, b"\0\1\2")
    assert protocol.receive(pipe[0]) == protocol.Message({"kind": "word", "text": "Grüße 💡"}, b"\0\1\2")


def test_a_message_larger_than_the_pipe_arrives(pipe):
    payload = os.urandom(1 << 20)
    sender = threading.Thread(target=protocol.send, args=(pipe[1], {}, payload))
    sender.start()
    assert protocol.receive(pipe[0]).payload == payload
    sender.join()


def test_the_end_between_two_messages_is_an_end(pipe):
    hang_up(pipe)
    with pytest.raises(EOFError):
        protocol.receive(pipe[0])


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\0",
        protocol.PREFIX.pack(2, 0) + b"{",
        protocol.PREFIX.pack(2, 5) + b"{}abc",
        protocol.PREFIX.pack(1 << 30, 0),
        protocol.PREFIX.pack(0, 1 << 30),
        protocol.PREFIX.pack(2, 0) + b"[]",
        protocol.PREFIX.pack(2, 0) + b"{\xff",
    ],
)
def test_what_is_not_a_whole_message_is_refused(pipe, sent):
    os.write(pipe[1], sent)
    hang_up(pipe)
    with pytest.raises(protocol.Garbled):
        protocol.receive(pipe[0])


def test_a_message_past_the_limits_is_not_sent(pipe):
    with pytest.raises(ValueError, match="too large"):
        protocol.send(pipe[1], {"text": "a" * protocol.HEADER_LIMIT})
