"""
Webhooks: the end of a job is posted to its `webhook_url`.

What is sent follows the Standard Webhooks specification (github.com/standard-webhooks/standard-webhooks), so that
receivers find libraries to check it with:

    webhook-id: JOB-ATTEMPT                      the same in every try: who got it twice can tell
    webhook-timestamp: 1764000000                of this try
    webhook-signature: v1,BASE64                 HMAC-SHA256 of "id.timestamp.body" with WEBHOOK_SECRET

    {"type": "job.succeeded", "timestamp": "2026-11-22T20:00:00Z", "data": {"id": ..., "state": ..., ...}}
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from typing import Any

from .. import memory
from ..config import Settings
from ..errors import InvalidRequest
from .delivery import DELIVERED, FAILED, Delivery, destination, lookup
from .job import WEBHOOKS_READ, Job, Store, iso

log = logging.getLogger(__name__)

# From one try to the next; after the ninth, 7.6 hours after the first, it has failed.
BACKOFF_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14400)
LONGEST_TEXT = 65_536  # characters; an hour of speech has 58,000
TRY_SECONDS = 20.0  # for a try: three addresses that take no connection in 5 s each, and an answer
RETRY_SECONDS = 15.0  # when the store has failed, or every thread hangs in the resolver


def check_url(url: str, settings: Settings) -> None:
    """InvalidRequest, with the reason, where no webhook may go to *url*."""
    if not settings.webhook_secret:
        raise InvalidRequest(
            "this service sends no webhooks, because WEBHOOK_SECRET, which signs them, is not set",
            "webhook_url",
        )
    try:
        destination(url, private=settings.webhook_private_addresses)
    except ValueError as problem:
        raise InvalidRequest(
            f"webhook_url {problem}; an https URL of a public host is accepted", "webhook_url"
        ) from None


def payload(job: Job) -> bytes:
    """The body that says how *job* ended; the same in every try."""
    path = f"/api/v1/pam/voice/jobs/{job.id}"
    data: dict[str, Any] = {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "created_at": iso(job.created_at, "seconds"),
        "started_at": iso(job.started_at, "seconds"),
        "finished_at": iso(job.finished_at, "seconds"),
        "url": job.extra.get("url", path),
        "result_url": job.extra.get("url", path) + "/result" if job.state == "succeeded" else None,
        "text": job.text[:LONGEST_TEXT] if job.kind == "transcribe" else None,
        "text_truncated": len(job.text) > LONGEST_TEXT,
        "error": job.error,
    }
    event = {"type": f"job.{job.state}", "timestamp": data["finished_at"], "data": data}
    return json.dumps(event, separators=(",", ":")).encode()  # ASCII: whatever is in a text can be sent


def signed_headers(secret: str, job: Job, body: bytes, now: float) -> dict[str, str]:
    """The headers of a try at *now*."""
    number = f"{job.id}-{job.attempt}"  # a job that was put back and ends again is another event
    timestamp = str(int(now))
    signature = hmac.new(signing_key(secret), f"{number}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "User-Agent": "pam-voice",
        "webhook-id": number,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(signature.digest()).decode(),
    }


def signing_key(secret: str) -> bytes:
    """The key of `whsec_` and base64, as the specification writes secrets; of any other text, its bytes."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret[len("whsec_") :], validate=True)
        except binascii.Error:
            pass
    return secret.encode()


@dataclass
class Webhooks:
    """
    Sends the webhooks that are due, up to WEBHOOKS_READ at once, each in a thread; a try that fails is due again.

    Owned by whoever owns the queue. Its own thread runs only while something is pending; `wake` may be called from
    any thread. Several processes may serve one store. A receiver that does not answer delays only those that were
    sent together with it, by *try_seconds* at most.
    """

    store: Store
    settings: Settings
    try_seconds: float = TRY_SECONDS
    clock: Callable[[], float] = time.time
    resolve: Callable[[str, int], list[str]] = lookup

    def __post_init__(self) -> None:
        self._changed = threading.Condition()  # guards the four below
        self._thread: threading.Thread | None = None
        self._deliveries: list[Delivery] = []  # those under way, and those that hang in the resolver
        self._woken = False
        self._closed = False

    def wake(self) -> None:
        """Something may be due: a job has ended, or the service has started."""
        with self._changed:
            if self._closed:
                return
            self._woken = True
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
                thread.start()
                self._thread = thread
            self._changed.notify_all()

    def wake_if_due(self, now: float) -> None:
        """Wake where the store says that one is due."""
        due_at = self.store.next_webhook_at()
        if due_at is not None and due_at <= now:
            self.wake()

    def close(self) -> None:
        """Stop; what was being sent is due again when the service is back."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
            for each in self._deliveries:
                each.abort()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._woken = False
            try:
                wait = self.send_due()
            except Exception:  # the store may be away for a while
                log.exception("webhooks could not be sent; the next try is in %g s", RETRY_SECONDS)
                wait = RETRY_SECONDS
            with self._changed:
                if not (self._woken or self._closed or wait is None):
                    self._changed.wait(wait)
                if self._closed or (wait is None and not self._woken):
                    self._thread = None
                    return

    def send_due(self) -> float | None:
        """Send some of what is due; the seconds until there is more to do, None when nothing is pending."""
        with self._changed:
            self._deliveries = [each for each in self._deliveries if each.is_alive()]
            free = WEBHOOKS_READ - len(self._deliveries)
        if not free:
            return RETRY_SECONDS
        due = self.store.webhooks_due(self.clock())[:free]
        # Tries are counted before they are made: a process that ends in the middle of one has made it.
        claimed = [job for job in due if self.store.claim_webhook(job, self._next_try(job))]
        for job, (state, reason) in zip(claimed, self._deliver(claimed), strict=True):
            tries = job.webhook_attempts + 1
            if state == FAILED and tries <= len(BACKOFF_SECONDS):
                log.info("job=%s webhook: %s (try %d)", job.id, reason, tries)
                continue
            if state != DELIVERED:
                log.warning("job=%s webhook given up: %s (try %d)", job.id, reason, tries)
            self.store.end_webhook(job, DELIVERED if state == DELIVERED else FAILED)
        following = self.store.next_webhook_at()
        return None if following is None else max(0.0, following - self.clock())

    def _next_try(self, job: Job) -> float:
        return self.clock() + BACKOFF_SECONDS[min(job.webhook_attempts, len(BACKOFF_SECONDS) - 1)]

    def _deliver(self, jobs: list[Job]) -> list[tuple[str, str]]:
        """Try the webhooks of *jobs* side by side; the verdict on each."""
        if not jobs:
            return []
        tls = ssl.create_default_context()  # one for all: the system's certificates take 0.8 MB each time
        private = self.settings.webhook_private_addresses
        deliveries = []
        for job in jobs:
            body = payload(job)
            headers = signed_headers(self.settings.webhook_secret, job, body, self.clock())
            deliveries.append(Delivery(job.webhook_url, headers, body, private, tls, self.resolve))
        with self._changed:
            self._deliveries += deliveries
            for each in deliveries:
                each.start()
            seconds = 0.0 if self._closed else self.try_seconds
        futures.wait([each.verdict for each in deliveries], seconds)
        for each in deliveries:
            each.abort()
        memory.give_back()
        return [each.verdict.result() for each in deliveries]
