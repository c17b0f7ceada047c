"""
Jobs on workers, and everything that can end those, the web, and Redis. In `make test-all` a short form, `make chaos`
the full one.
"""

import contextlib
import math
import os
import re
import signal
import time

import pytest

from app import memory
from tests.jobs.fleet.machines import Fleet, started
from tests.jobs.fleet.rabbitmq import RabbitMQ
from tests.processes import children, descendants, until
from tests.server import Server

from .ordeal import SETTINGS, Killed, Ordeal

FULL = os.environ.get("CHAOS") == "full"
KILLS, COUNT, SEED = (50, 30, 8) if FULL else (6, 6, 8)

# A machine is a worker with all its processes; the others are one process each.
VICTIMS = ("redis", "web", "master", "machine", "celery", "child", "engine")


class FleetOrdeal(Ordeal):
    """Two workers, Redis, a web server and *rabbit* where there is one, of which none may trust the others to live."""

    def __init__(self, server: Server, fleet: Fleet, rabbit: RabbitMQ | None, *, seed: int) -> None:
        super().__init__(server, seed=seed)
        self.fleet, self.rabbit = fleet, rabbit
        self.victims: list[str] = []

    def kill(self) -> None:
        """End one of them as the kernel would, and start it again, as a host would."""
        if not self.victims:
            victims = (*VICTIMS, "rabbitmq") if self.rabbit else VICTIMS
            self.victims = self.random.sample(victims, len(victims))
        victim = self.victims.pop()
        self.killed.append(Killed(victim, time.monotonic() - self.began))
        if victim == "redis":
            self.fleet.redis.kill()
            self.pause(1.0)
            self.fleet.redis.start()
        elif victim == "rabbitmq" and self.rabbit:
            self.rabbit.kill()
            self.rabbit.start()
        elif victim in ("web", "master"):
            roles = {process.role: process.pid for process in memory.service(self.server.process.pid)}
            _kill(roles.get(victim))
            if victim == "master":
                self.restart()
        else:
            self._kill_worker(victim)

    def _kill_worker(self, victim: str) -> None:
        worker = self.random.choice(self.fleet.workers)
        child = (children(worker.process.pid) or [None])[0]
        if victim == "machine":
            worker.kill()
        elif victim == "celery":
            worker.process.kill()
            worker.process.wait()
        elif victim == "child":
            _kill(child)
        elif child is not None:
            _kill((descendants(child) or [None])[0])
        if worker.process.poll() is not None:
            worker.start()

    def check(self) -> None:
        """Every job ended once, right, none lost, none twice, and none is held or waits."""
        super().check()
        said = "".join(worker.log for worker in self.fleet.workers)
        for id, _ in self.jobs.values():
            assert len(re.findall(rf"job={id} succeeded", said)) <= 1
        counts = self.fleet.store.counts(time.time())
        assert [counts.by_state[state] for state in ("queued", "running", "succeeded")] == [
            0,
            0,
            len(self.jobs),
        ]
        assert self.fleet.store.overdue(math.inf, math.inf) == []


def _kill(pid: int | None) -> None:
    with contextlib.suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_killed_at_random_every_job_ends_once_and_right(broker, tmp_path, capsys):
    with contextlib.ExitStack() as stack:
        rabbit = None
        if broker == "rabbitmq":
            rabbit = stack.enter_context(contextlib.closing(RabbitMQ(tmp_path / "rabbit")))
        fleet = stack.enter_context(started(tmp_path / "fleet", rabbit.url if rabbit else "", **SETTINGS))
        server = stack.enter_context(Server(**fleet.environment))
        ordeal = FleetOrdeal(server, fleet, rabbit, seed=SEED)
        for _ in range(2):
            fleet.worker()
        until(
            lambda: all("ready" in worker.log for worker in fleet.workers),
            "workers are ready",
            said=fleet.said,
        )
        ordeal.go_through(jobs=COUNT, kills=KILLS, longest_pause=4.0, seconds=1800 if FULL else 600)
        seconds = time.monotonic() - ordeal.began
    if FULL:
        roles = [killed.role for killed in ordeal.killed]
        with capsys.disabled():
            counted = ", ".join(f"{roles.count(role)} {role}" for role in sorted(set(roles)))
            print(
                f"\n{COUNT} jobs, {KILLS} kills ({counted}), two workers, {broker}: all ended once and right, "
                f"{seconds:.0f} s"
            )
