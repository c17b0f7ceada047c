import base64
import dataclasses
import json
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme
from standardwebhooks import Webhook, WebhookVerificationError

from app.config import PROJECT, Settings
from app.errors import InvalidRequest
from app.jobs import delivery
from app.jobs.job import FAILED, SUCCEEDED, WEBHOOKS_READ, Job
from app.jobs.webhooks import BACKOFF_SECONDS, LONGEST_TEXT, Webhooks, check_url, payload

from ..processes import until
from ..server import Server
from .receiver import Receiver

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SETTINGS = Settings(webhook_secret=SECRET, webhook_private_addresses=True)


class Outbox:
    """Jobs in memory, by the rules a store keeps."""

    def __init__(self, *jobs):
        self.jobs = {job.id: dataclasses.replace(job) for job in jobs}

    def webhooks_due(self, now):
        due = [
            dataclasses.replace(job)
            for job in self.jobs.values()
            if job.webhook_state == "pending" and job.webhook_due_at <= now
        ]
        return sorted(due, key=lambda job: job.webhook_due_at)[:WEBHOOKS_READ]

    def next_webhook_at(self):
        due = self.webhooks_due(math.inf)
        return due[0].webhook_due_at if due else None

    def claim_webhook(self, job, due_at):
        kept = self.jobs[job.id]
        if kept.webhook_state != "pending" or kept.webhook_attempts != job.webhook_attempts:
            return False
        kept.webhook_attempts += 1
        kept.webhook_due_at = due_at
        return True

    def end_webhook(self, job, state):
        self.jobs[job.id].webhook_state = state

    def __getitem__(self, id):
        return self.jobs[id]


def ended(id, url, **fields):
    values = {
        "state": SUCCEEDED,
        "text": "Yes.",
        "created_at": 900.0,
        "finished_at": 1000.0,
        "attempt": 1,
    } | fields
    pending = {"webhook_url": url, "webhook_state": "pending", "webhook_due_at": 1000.0}
    return Job(id=id, kind="transcribe", params={}, **values, **pending)


@pytest.fixture
def receive(monkeypatch, tmp_path):
    """Starts receivers whose certificate is trusted; threads of this process, which may have to wait for it."""
    monkeypatch.setattr(delivery, "ANSWER_SECONDS", 60.0)
    receivers = []
    authority = trustme.CA()

    def receive(*statuses, **options):
        receiver = Receiver(*statuses, authority=authority, **options).__enter__()
        receivers.append(receiver)
        monkeypatch.setenv("SSL_CERT_FILE", receiver.trusted_by(tmp_path / "authority.pem"))
        return receiver

    yield receive
    for receiver in receivers:
        receiver.__exit__()


def test_what_arrives_is_verified_by_the_specifications_own_library(receive):
    receiver = receive()
    outbox = Outbox(ended("j1", receiver.url + "/hook", text="Ünïcode ‘quoted’."))
    assert Webhooks(outbox, SETTINGS).send_due() is None
    path, headers, body = receiver.got[0]
    headers = {name.lower(): value for name, value in headers.items()}
    event = Webhook(SECRET).verify(body, headers)
    assert path == "/hook"
    assert headers["webhook-id"] == "j1-1"
    assert event["type"] == "job.succeeded"
    assert event["timestamp"] == "1970-01-01T00:16:40Z"
    assert (event["data"]["id"], event["data"]["text"]) == ("j1", "Ünïcode ‘quoted’.")
    assert outbox["j1"].webhook_state == "delivered"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"succeeded", b"failed"), headers)


def test_a_failed_try_is_due_again_and_the_receiver_can_tell_it_is_the_same(receive, clock):
    receiver = receive(500, 302, 200)
    outbox = Outbox(ended("j1", receiver.url))
    webhooks = Webhooks(outbox, SETTINGS, clock=clock)
    assert webhooks.send_due() == BACKOFF_SECONDS[0]
    assert webhooks.send_due() == BACKOFF_SECONDS[0]  # nothing is sent before its time
    assert len(receiver.got) == 1
    clock.advance(BACKOFF_SECONDS[0])
    assert webhooks.send_due() == BACKOFF_SECONDS[1]
    clock.advance(BACKOFF_SECONDS[1])
    assert webhooks.send_due() is None
    assert [headers["webhook-id"] for _, headers, _ in receiver.got] == ["j1-1"] * 3
    assert len({headers["webhook-timestamp"] for _, headers, _ in receiver.got}) == 3
    assert len({body for _, _, body in receiver.got}) == 1
    assert outbox["j1"].webhook_state == "delivered"


def test_tries_end(receive, clock):
    """A job that is kept for a day is not tried longer than it is there."""
    receiver = receive(503)
    last = len(BACKOFF_SECONDS)
    outbox = Outbox(ended("j1", receiver.url, webhook_attempts=last))
    assert Webhooks(outbox, SETTINGS, clock=clock).send_due() is None
    assert (outbox["j1"].webhook_state, outbox["j1"].webhook_attempts) == ("failed", last + 1)
    assert sum(BACKOFF_SECONDS) < Settings().job_ttl_hours * 3600


def test_a_receiver_that_wants_no_more_is_not_asked_again(receive):
    receiver = receive(410)
    outbox = Outbox(ended("j1", receiver.url))
    assert Webhooks(outbox, SETTINGS).send_due() is None
    assert outbox["j1"].webhook_state == "failed"


def test_a_private_address_is_given_up_at_once(receive):
    receiver = receive()
    outbox = Outbox(ended("j1", receiver.url), ended("j2", f"https://127.0.0.1:{receiver.port}/"))
    assert Webhooks(outbox, Settings(webhook_secret=SECRET)).send_due() is None
    assert [job.webhook_state for job in outbox.jobs.values()] == ["failed", "failed"]
    assert receiver.got == []


def test_one_that_somebody_else_has_begun_is_left_to_him(receive):
    receiver = receive()
    outbox = Outbox(ended("j1", receiver.url))

    class Slow(Outbox):
        def webhooks_due(self, now):
            due = super().webhooks_due(now)
            if now < math.inf:  # between reading and claiming another process claims it
                outbox.claim_webhook(outbox["j1"], 2000.0)
            return due

    slow = Slow()
    slow.jobs = outbox.jobs
    Webhooks(slow, SETTINGS).send_due()
    assert receiver.got == []
    assert outbox["j1"].webhook_attempts == 1


def test_a_receiver_that_never_ends_its_answer_holds_up_no_others(receive):
    slow, quick = receive(drip=True), receive()
    others = [ended(f"j{number}", quick.url) for number in range(WEBHOOKS_READ)]
    outbox = Outbox(ended("slow", slow.url), *others)
    webhooks = Webhooks(outbox, SETTINGS, try_seconds=60)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(webhooks.send_due)
        until(
            lambda: len(slow.got) + len(quick.got) == WEBHOOKS_READ, "all that were sent together are there"
        )
        slow.leave.set()
        assert sent.result() == 0.0  # the last one is due
    webhooks.send_due()
    assert (len(slow.got), len(quick.got)) == (1, WEBHOOKS_READ)
    assert {outbox[job.id].webhook_state for job in others} == {"delivered"}
    assert outbox["slow"].webhook_state == "pending"


def test_a_receiver_that_never_ends_its_answer_is_left(receive, clock):
    outbox = Outbox(ended("slow", receive(drip=True).url))
    assert Webhooks(outbox, SETTINGS, try_seconds=0.5, clock=clock).send_due() == BACKOFF_SECONDS[0]
    until(lambda: "webhook" not in {thread.name for thread in threading.enumerate()}, "its thread ends")
    assert (outbox["slow"].webhook_state, outbox["slow"].webhook_attempts) == ("pending", 1)


class Resolver:
    """One that hangs until it is `let_go`, and counts who waits."""

    def __init__(self):
        self.asked = 0
        self.let_go = threading.Event()

    def __call__(self, host, port):
        self.asked += 1
        self.let_go.wait(60)
        return ["127.0.0.1"]


def test_a_resolver_that_hangs_takes_a_bounded_number_of_threads(receive, clock):
    receiver, resolver = receive(), Resolver()
    outbox = Outbox(*(ended(f"j{number}", receiver.url) for number in range(3 * WEBHOOKS_READ)))
    webhooks = Webhooks(outbox, SETTINGS, try_seconds=0.2, clock=clock, resolve=resolver)
    for _ in range(5):
        assert webhooks.send_due() is not None
    # Some only after their try was ended.
    until(lambda: resolver.asked >= WEBHOOKS_READ, "all its threads ask")
    assert resolver.asked == WEBHOOKS_READ
    tries = [job.webhook_attempts for job in outbox.jobs.values()]
    assert tries == [1] * WEBHOOKS_READ + [0] * 2 * WEBHOOKS_READ  # the others have lost none
    resolver.let_go.set()
    until(lambda: "webhook" not in {thread.name for thread in threading.enumerate()}, "its thread ends")
    assert receiver.got == []  # it was too late for those
    webhooks.try_seconds = 60
    clock.advance(BACKOFF_SECONDS[0])
    until(lambda: webhooks.send_due() is None, "nothing is due")
    assert {job.webhook_state for job in outbox.jobs.values()} == {"delivered"}
    assert len(receiver.got) == 3 * WEBHOOKS_READ


def test_close_does_not_wait_for_a_resolver_that_hangs(receive):
    resolver = Resolver()
    outbox = Outbox(ended("j1", receive().url))
    webhooks = Webhooks(outbox, SETTINGS, try_seconds=3600, resolve=resolver)
    webhooks.wake()
    until(lambda: resolver.asked, "the name is asked for")
    webhooks.close()
    assert (outbox["j1"].webhook_state, outbox["j1"].webhook_attempts) == ("pending", 1)
    resolver.let_go.set()


def test_the_thread_is_there_while_something_is_pending_and_sends_what_it_is_woken_for(receive):
    receiver = receive()
    outbox = Outbox()
    webhooks = Webhooks(outbox, SETTINGS)
    for number in range(3):
        job = ended(f"j{number}", receiver.url)
        outbox.jobs[job.id] = job
        webhooks.wake()
        until(lambda job=job: job.webhook_state == "delivered", "it is delivered")
    until(lambda: "webhooks" not in {thread.name for thread in threading.enumerate()}, "the thread ends")
    assert len(receiver.got) == 3
    webhooks.close()


def test_close_ends_what_is_being_sent_and_it_is_due_again(receive):
    receiver = receive(drip=True)
    outbox = Outbox(ended("j1", receiver.url))
    webhooks = Webhooks(outbox, SETTINGS, try_seconds=3600)
    webhooks.wake()
    until(lambda: receiver.got, "the receiver is asked")
    webhooks.close()
    webhooks.wake()  # too late
    assert (outbox["j1"].webhook_state, outbox["j1"].webhook_attempts) == ("pending", 1)


def test_a_store_that_is_away_for_a_while_does_not_end_the_thread(receive, caplog):
    class Away(Outbox):
        def webhooks_due(self, now):
            raise ConnectionError("no route to Redis")

    webhooks = Webhooks(Away(), SETTINGS)
    webhooks.wake()
    until(lambda: "could not be sent" in caplog.text, "it is logged")
    assert "webhooks" in {thread.name for thread in threading.enumerate()}
    webhooks.close()


def test_what_is_sent_is_bounded_and_says_so():
    event = json.loads(payload(ended("j1", "https://a.example", text="a" * (LONGEST_TEXT + 1))))
    assert len(event["data"]["text"]) == LONGEST_TEXT
    assert event["data"]["text_truncated"]


def test_a_failed_job_says_why_and_has_no_result():
    error = {"code": "invalid_audio", "message": "the file is empty"}
    event = json.loads(payload(ended("j1", "https://a.example", state=FAILED, error=error, text="")))
    assert event["type"] == "job.failed"
    assert (event["data"]["error"], event["data"]["result_url"]) == (error, None)


def test_links_are_those_the_job_was_made_with():
    job = ended("j1", "https://a.example", extra={"url": "https://voice.example/api/v1/pam/voice/jobs/j1"})
    data = json.loads(payload(job))["data"]
    assert data["result_url"] == "https://voice.example/api/v1/pam/voice/jobs/j1/result"


def test_a_secret_of_another_form_signs_with_its_bytes(receive):
    receiver = receive()
    Webhooks(
        Outbox(ended("j1", receiver.url)), dataclasses.replace(SETTINGS, webhook_secret="a word")
    ).send_due()
    _, headers, body = receiver.got[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert Webhook(base64.b64encode(b"a word").decode()).verify(body, headers)


@pytest.mark.parametrize(
    ("settings", "url", "reason"),
    [
        (SETTINGS, "ftp://example.com", "does not begin with https"),
        (Settings(webhook_secret=SECRET), "https://10.0.0.1/", "not a public address"),
        (Settings(), "https://example.com/", "WEBHOOK_SECRET"),
    ],
)
def test_a_url_no_webhook_may_go_to_is_refused_with_the_job(settings, url, reason):
    with pytest.raises(InvalidRequest, match=reason) as refusal:
        check_url(url, settings)
    assert refusal.value.param == "webhook_url"


def test_a_public_url_is_taken():
    check_url("https://example.com/hook", Settings(webhook_secret=SECRET))


@pytest.mark.long
def test_a_job_of_the_real_service_tells_how_it_ended(receive):
    receiver = receive(500, 200)
    with Server(
        TTS_ENGINE="espeak",
        WEBHOOK_SECRET=SECRET,
        WEBHOOK_PRIVATE_ADDRESSES="true",
        SSL_CERT_FILE=os.environ["SSL_CERT_FILE"],
    ) as server:
        asked = {"text": "The harbor wakes.", "webhook_url": receiver.url + "/ended"}
        made = server.post("/api/v1/pam/voice/jobs", asked)
        assert made.status == 202, made.body
        until(lambda: len(receiver.got) == 2, "the second try comes")
        refused = server.post("/api/v1/pam/voice/jobs", {**asked, "webhook_url": "ftp://example.com"})
    (_, first, body), (_, second, same_body) = receiver.got
    event = json.loads(body)
    assert (event["type"], event["data"]["id"]) == ("job.succeeded", made.json["id"])
    assert event["data"]["result_url"] == f"{server.url}/api/v1/pam/voice/jobs/{made.json['id']}/result"
    assert (first["webhook-id"], body) == (second["webhook-id"], same_body)
    assert (refused.status, refused.error["param"]) == (400, "webhook_url")


@pytest.mark.parametrize("secret", [SECRET, "a word"])
def test_the_documented_lines_tell_ours_from_others(receive, secret):
    code = (PROJECT / "docs" / "webhooks.md").read_text().partition("```python\n")[2].partition("```")[0]
    documented = {}
    exec(code, documented)
    receiver = receive()
    Webhooks(
        Outbox(ended("j1", receiver.url)), dataclasses.replace(SETTINGS, webhook_secret=secret)
    ).send_due()
    _, headers, body = receiver.got[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert documented["verified"](secret, headers, body)
    assert not documented["verified"](secret, headers, body + b" ")
    assert not documented["verified"]("another", headers, body)
    assert not documented["verified"](secret, {**headers, "webhook-timestamp": "1"}, body)


def test_a_thread_that_could_not_be_started_is_started_with_the_next_wake():
    webhooks = Webhooks(Outbox(), SETTINGS)
    before = threading.stack_size(1 << 60)  # which no kernel grants
    try:
        with pytest.raises(RuntimeError):
            webhooks.wake()
    finally:
        threading.stack_size(before)
    webhooks.wake()
    until(lambda: any(thread.name == "webhooks" for thread in threading.enumerate()), "it has a thread")
    webhooks.close()
