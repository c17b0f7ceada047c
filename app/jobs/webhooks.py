"""
Webhooks: whoever gave a job a `webhook_url` is told how it ended.

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
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from .. import memory
from ..config import PROJECT, Settings
from ..engine.budget import Budget
from ..errors import InsufficientMemory, InvalidRequest
from .addresses import destination
from .job import Job, iso

log = logging.getLogger(__name__)

# From one try to the next; after the ninth, 7.6 hours after the first, it has failed.
BACKOFF_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14400)
COMMAND = (sys.executable, "-m", "app.jobs.delivery")
COST_MB = 20.0  # PSS of that process: 14 with one webhook, 16 with eight, beside other Python processes
AT_ONCE = 8  # webhooks in one process: a receiver that does not answer holds up no others but these
LONGEST_TEXT = 65_536  # characters; an hour of speech has 58,000
LIFETIME_SECONDS = 20  # of that process: three addresses that take no connection in 5 s, and an answer
NO_ROOM_SECONDS = 15.0  # until the budget is asked again

DELIVERED, FAILED = "delivered", "failed"


class Outbox(Protocol):
    """The part of a job store that knows which webhooks are to be sent."""

    def webhooks_due(self, now: float) -> list[Job]:
        """Jobs whose webhook is pending and due by *now*, soonest first, at most a hundred."""

    def webhook_begin(self, job: Job, due_at: float) -> bool:
        """
        Claim the next try: one more attempt, and pending again at *due_at*.

        False, and nothing changes, when it is no longer pending or somebody else has begun this try.
        """

    def webhook_ended(self, job: Job, state: str) -> None:
        """It was delivered, or has failed for good."""


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
    return json.dumps(
        event, separators=(",", ":")
    ).encode()  # ASCII: whatever a text has in it, it can be sent


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


class Webhooks:
    """
    Sends what is due, each try in a process that is gone after it; a try that fails is due again later.

    Owned by whoever owns the queue. It has a thread only while something is pending; `wake` may come from
    any thread. Several processes may serve one outbox.
    """

    name = "webhook"  # to the budget, whose tenant it is while a process runs

    def __init__(
        self,
        outbox: Outbox,
        settings: Settings,
        budget: Budget | None = None,
        *,
        lifetime_seconds: int = LIFETIME_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox, self._settings, self._budget, self._clock = outbox, settings, budget, clock
        self._lifetime_seconds = lifetime_seconds
        self._changed = threading.Condition()  # guards the four below
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._woken = False
        self._closed = False

    def wake(self) -> None:
        """Something may be due: a job has ended, or the service has started."""
        with self._changed:
            if self._closed:
                return
            self._woken = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Stop; what was being sent is due again when the service is back."""
        with self._changed:
            self._closed = True
            if self._process is not None:
                self._process.kill()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._woken = False
            try:
                wait = self.send_due()
            except Exception:  # the store may be away for a while
                log.exception("webhooks could not be sent; the next try is in %g s", NO_ROOM_SECONDS)
                wait = NO_ROOM_SECONDS
            with self._changed:
                if not (self._woken or self._closed or wait is None):
                    self._changed.wait(wait)
                if self._closed or (wait is None and not self._woken):
                    self._thread = None
                    return

    def send_due(self) -> float | None:
        """Send what is due now; the seconds until something will be, None when nothing is pending."""
        due = self._outbox.webhooks_due(self._clock())
        for first in range(0, len(due), AT_ONCE):
            if not self._send(due[first : first + AT_ONCE]):
                return NO_ROOM_SECONDS
        pending = self._outbox.webhooks_due(math.inf)
        return max(0.0, (pending[0].webhook_due_at or 0.0) - self._clock()) if pending else None

    def _send(self, jobs: list[Job]) -> bool:
        """Try *jobs*' webhooks; False, and none was tried, when there is no room for the process."""
        try:
            if self._budget is not None:
                self._budget.admit(self, COST_MB)
        except InsufficientMemory:
            return False
        try:
            tries_before = {job.id: job.webhook_attempts for job in jobs}
            begun = [job for job in jobs if self._outbox.webhook_begin(job, self._next_try(job))]
            for job, (state, reason) in zip(begun, self._deliver(begun), strict=True):
                tries = tries_before[job.id] + 1
                if state == "failed" and tries <= len(BACKOFF_SECONDS):
                    log.info("job=%s webhook: %s (try %d)", job.id, reason, tries)
                    continue
                if state != "delivered":
                    log.warning("job=%s webhook given up: %s (try %d)", job.id, reason, tries)
                self._outbox.webhook_ended(job, DELIVERED if state == "delivered" else FAILED)
        finally:
            if self._budget is not None:
                self._budget.release(self)
        return True

    def _next_try(self, job: Job) -> float:
        return self._clock() + BACKOFF_SECONDS[min(job.webhook_attempts, len(BACKOFF_SECONDS) - 1)]

    def _deliver(self, jobs: list[Job]) -> list[tuple[str, str]]:
        """For each of *jobs*, what came of its try: "delivered", "failed" or "refused", and why."""
        requests = []
        for job in jobs:
            body = payload(job)
            headers = signed_headers(self._settings.webhook_secret, job, body, self._clock())
            requests.append(
                {
                    "url": job.webhook_url,
                    "headers": headers,
                    "body": body.decode(),
                    "private": self._settings.webhook_private_addresses,
                }
            )
        verdicts = [("failed", "no answer in time")] * len(jobs)
        question = {"requests": requests, "lifetime_seconds": self._lifetime_seconds}
        for line in self._ask(json.dumps(question)) if jobs else ():
            verdict = json.loads(line)
            verdicts[verdict["number"]] = (verdict["state"], verdict["reason"])
        return verdicts

    def _ask(self, question: str) -> list[str]:
        """What the process says to *question*, line by line; it ends itself in time."""
        with self._changed:
            if self._closed:
                return []
            self._process = subprocess.Popen(  # noqa: S603 (our own command)
                COMMAND,
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        try:
            said, _ = self._process.communicate(question)
        finally:
            with self._changed:
                process, self._process = self._process, None
            process.wait()
        # a process that was ended in mid-line has not said it
        return [line for line in said.splitlines(keepends=True) if line.endswith("\n")]

    def measured_mb(self) -> float:
        """PSS of the process in MB, 0 without one."""
        process = self._process
        return memory.pss_mb(process.pid if process else None)

    def stop_if_unused(self) -> bool:
        """It is never there unused."""
        return False
