"""A server whose processes are killed at random while it has jobs to do, and what must be true of the jobs."""

import contextlib
import http.client
import os
import random
import signal
import socket
import time
from dataclasses import dataclass

from app import memory
from tests.likeness import understood
from tests.processes import until
from tests.recordings import AUSTEN, AUSTEN_SHORT, NEURAL, Clip
from tests.server import Server, form

JOBS = "/api/v1/pam/voice/jobs"
CLIPS = (AUSTEN, AUSTEN_SHORT, NEURAL)
# The service may be killed in any state, more often than a job that is at fault would be forgiven.
SETTINGS = {"JOB_ATTEMPTS": "20", "TTS_ENGINE": "espeak", "LOG_FORMAT": "text"}


@dataclass(frozen=True)
class Killed:
    """What was killed, and when."""

    role: str
    seconds: float


class Ordeal:
    """
    A server, jobs given to it by a client that does not give up, and kills; seeded, so that it can be repeated.

    A job is sent with an Idempotency-Key until it is accepted: the connection may break before the answer.
    """

    def __init__(self, server: Server, *, seed: int) -> None:
        self.server, self.random = server, random.Random(seed)
        self.jobs: dict[str, tuple[str, Clip]] = {}  # by key: the id, and what was sent
        self.killed: list[Killed] = []
        self.began = time.monotonic()

    def submit(self) -> None:
        """One job more."""
        number = len(self.jobs)
        clip = CLIPS[number % len(CLIPS)]
        body, kind = form(clip.path.read_bytes())
        headers = {"Content-Type": kind, "Idempotency-Key": f"job-{number}"}
        answer = self._insist("POST", JOBS, body, headers)
        assert answer.status == 202, answer.body
        self.jobs[f"job-{number}"] = (answer.json["id"], clip)

    def kill(self) -> None:
        """End one process as the kernel would; a master is started again, as a host would."""
        processes = memory.service(self.server.process.pid)
        role = self.random.choice(sorted({process.role for process in processes}))
        victim = self.random.choice([process.pid for process in processes if process.role == role])
        self.killed.append(Killed(role, time.monotonic() - self.began))
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        if role == "master":
            self.restart()

    def restart(self) -> None:
        """Start the server again, which was killed, once its workers have noticed and left: they had its port."""
        self.server.process.wait(60)
        until(self._port_is_free, "its workers leave", said=self._said)
        self.server.__enter__()

    def _port_is_free(self) -> bool:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
            probe.bind(("127.0.0.1", self.server.port))
            return True
        return False

    def pause(self, longest: float) -> None:
        """Let it work for a random while: when something is killed is what this is about."""
        time.sleep(self.random.uniform(0.05, longest))

    def go_through(self, *, jobs: int, kills: int, longest_pause: float, seconds: float) -> None:
        """Submit *jobs* evenly among *kills*, wait up to *seconds* for the last to end, and check them all."""
        for kill in range(kills):
            while len(self.jobs) <= kill * jobs // kills:
                self.submit()
            self.pause(longest_pause)
            self.kill()
        self.wait_until_all_ended(seconds)
        self.check()
        assert len(self.jobs) == jobs

    def wait_until_all_ended(self, seconds: float) -> None:
        """AssertionError with the log's end when it takes too long."""
        left = {id for id, _ in self.jobs.values()}

        def none_left() -> bool:
            job = self._insist("GET", f"{JOBS}/{min(left)}").json
            if job["state"] in ("succeeded", "failed", "cancelled"):
                left.discard(job["id"])
            return not left

        until(none_left, "every job ends", seconds, said=self._said)

    def check(self) -> None:
        """Every job ended once, right, none lost, none twice."""
        assert len({id for id, _ in self.jobs.values()}) == len(self.jobs)
        there = self._insist("GET", f"{JOBS}?limit=100").json["jobs"]
        assert sorted(job["id"] for job in there) == sorted(id for id, _ in self.jobs.values())
        log = self.server.log
        for id, clip in self.jobs.values():
            job = self._insist("GET", f"{JOBS}/{id}").json
            assert (job["state"], job["error"]) == ("succeeded", None)
            assert job["text"] == job["result"]["text"]
            assert understood(job["text"], clip.text)
            # A process may be killed after it has noted the end, and before it has said so.
            assert log.count(f"job={id} succeeded") <= 1

    def _insist(self, method, path, body=None, headers=None):
        """The answer, repeated while there is no server."""

        def answered():
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = self.server.request(method, path, body, headers)
                return answer if answer.status != 503 else None

        return until(answered, f"{method} {path} is answered", said=self._said)

    def _said(self) -> str:
        return self.server.log[-3000:]
