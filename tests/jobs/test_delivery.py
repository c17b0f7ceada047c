import socket
import ssl
import threading

import pytest

from app.jobs import delivery as delivering
from app.jobs.delivery import DELIVERED, FAILED, REFUSED, Delivery

from .receiver import Receiver

HEADERS = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Receivers are threads of this process, which may have to wait for it."""
    monkeypatch.setattr(delivering, "ANSWER_SECONDS", 60.0)


def post(*arguments, **options):
    """The verdict on a try that is made here and now."""
    delivery = Delivery(*arguments, **options)
    delivery.run()
    return delivery.verdict.result()


def to_loopback(host, port):
    return ["127.0.0.1"]


def tls(*receivers):
    """Trust in the authorities of *receivers*."""
    context = ssl.create_default_context()
    for receiver in receivers:
        receiver.authority.configure_trust(context)
    return context


def test_a_body_arrives_as_it_was_given():
    with Receiver(204) as receiver:
        state, reason = post(receiver.url + "/hook?a=b", HEADERS, b"{}", private=True, tls=tls(receiver))
        path, headers, body = receiver.got[0]
    assert state == DELIVERED, reason
    assert (path, body) == ("/hook?a=b", b"{}")
    assert headers["Host"] == f"localhost:{receiver.port}"
    assert headers["Content-Length"] == "2"


def test_the_checked_address_is_connected_to_by_the_name_in_the_url():
    """The name is not looked up again: the system's resolver has never heard of this one."""
    with Receiver(name="hooks.example.invalid") as receiver:
        url = f"https://hooks.example.invalid:{receiver.port}/"
        state, reason = post(url, HEADERS, b"{}", private=True, tls=tls(receiver), resolve=to_loopback)
    assert state == DELIVERED, reason
    assert receiver.got[0][1]["Host"] == f"hooks.example.invalid:{receiver.port}"


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"], ["fe80::1%lo"]],
)
def test_a_name_with_an_address_that_is_not_public_is_refused(addresses):
    with Receiver(name="hooks.example.com") as receiver:
        url = f"https://hooks.example.com:{receiver.port}/"
        state, reason = post(
            url, HEADERS, b"{}", private=False, tls=tls(receiver), resolve=lambda host, port: addresses
        )
    assert (state, receiver.got) == (REFUSED, [])
    assert "not public" in reason


def test_a_name_that_changes_its_mind_after_the_check_gains_nothing():
    """It is looked up once, and what was looked at is connected to: here an address where nobody listens."""
    answers = [["127.0.0.2"], ["127.0.0.1"]]
    asked = []

    def rebinding(host, port):
        asked.append(host)
        return answers[len(asked) - 1]

    with Receiver(name="rebind.example.com") as receiver:
        url = f"https://rebind.example.com:{receiver.port}/"
        state, reason = post(url, HEADERS, b"{}", private=True, tls=tls(receiver), resolve=rebinding)
    assert (state, asked, receiver.got) == (FAILED, ["rebind.example.com"], [])
    assert "did not answer" in reason


def test_a_url_that_is_refused_at_the_door_is_refused_here_too():
    state, reason = post("https://127.0.0.1/", HEADERS, b"{}", private=False, tls=tls())
    assert state == REFUSED
    assert "not a public address" in reason


def test_a_certificate_nobody_vouches_for_gets_nothing():
    with Receiver() as receiver:
        state, reason = post(receiver.url, HEADERS, b"{}", private=True, tls=tls())
    assert (state, receiver.got) == (FAILED, [])
    assert "certificate" in reason.lower()


def test_a_certificate_of_another_name_gets_nothing():
    with Receiver(name="other.example.com") as receiver:
        state, reason = post(receiver.url, HEADERS, b"{}", private=True, tls=tls(receiver))
    assert (state, receiver.got) == (FAILED, [])
    assert "localhost" in reason


@pytest.mark.parametrize(
    ("status", "state"), [(200, DELIVERED), (299, DELIVERED), (400, FAILED), (410, REFUSED), (500, FAILED)]
)
def test_the_status_decides(status, state):
    with Receiver(status) as receiver:
        assert post(receiver.url, HEADERS, b"{}", private=True, tls=tls(receiver)) == (
            state,
            f"localhost answered {status}",
        )


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status):
    with Receiver(status, 200) as receiver:
        state, reason = post(receiver.url + "/first", HEADERS, b"{}", private=True, tls=tls(receiver))
    assert (state, [path for path, _, _ in receiver.got]) == (FAILED, ["/first"])
    assert "redirect" in reason


def test_nobody_there_is_a_failure_and_no_exception():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"https://localhost:{unused.getsockname()[1]}/"
        state, reason = post(url, HEADERS, b"{}", private=True, tls=tls())
    assert state == FAILED
    assert "did not answer" in reason


def test_a_name_nobody_knows_is_a_failure_and_no_exception():
    def unknown(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    state, reason = post(
        "https://gone.example.com/", HEADERS, b"{}", private=False, tls=tls(), resolve=unknown
    )
    assert state == FAILED
    assert "gone.example.com has no address" in reason


@pytest.mark.parametrize("label", ["a" * 64 + ".example.com", "xn--" + "a" * 70 + ".com"])
def test_a_name_that_can_not_be_one_is_a_failure_and_no_exception(label):
    """Python's own resolver call raises UnicodeError for labels of more than 63 characters."""
    state, reason = post(f"https://{label}/", HEADERS, b"{}", private=False, tls=tls())
    assert (state, "has no address" in reason) == (FAILED, True)


def silent():
    """A host that takes connections and says nothing, not even its side of a handshake."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_try_is_ended_whatever_it_waits_for(scheme):
    with silent() as listening:
        url = f"{scheme}://localhost:{listening.getsockname()[1]}/"
        delivery = Delivery(url, HEADERS, b"{}", private=True, tls=tls())
        delivery.start()
        with listening.accept()[0] as accepted:
            assert accepted.recv(1)  # it is past connecting, and waits for an answer
            delivery.abort()
            delivery.join(20)
    assert not delivery.is_alive()
    assert delivery.verdict.result(20) == (FAILED, "no answer in time")


def test_a_try_that_was_ended_while_it_was_looked_up_posts_nothing():
    """Nothing can end a resolver that hangs; what it says later comes too late."""
    asked, answer = threading.Event(), threading.Event()

    def hanging(host, port):
        asked.set()
        answer.wait(20)
        return ["127.0.0.1"]

    with Receiver() as receiver:
        delivery = Delivery(receiver.url, HEADERS, b"{}", private=True, tls=tls(receiver), resolve=hanging)
        delivery.start()
        assert asked.wait(20)
        delivery.abort()
        assert delivery.verdict.result(20) == (FAILED, "no answer in time")
        answer.set()
        delivery.join(20)
    assert receiver.got == []
    assert delivery.verdict.result(20) == (FAILED, "no answer in time")


def test_what_was_delivered_stays_so():
    with Receiver() as receiver:
        delivery = Delivery(receiver.url, HEADERS, b"{}", private=True, tls=tls(receiver))
        delivery.run()
        delivery.abort()
    assert delivery.verdict.result(20)[0] == DELIVERED
