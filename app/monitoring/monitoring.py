"""What is watched while requests are served: counted, timed, and the last of it remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .. import cgroup
from ..access.limits import network
from ..logs import UNMATCHED, RequestRecord
from ..memory import Process
from .metrics import Metrics, Windows
from .shared_memory import WorkerSlot

AT_WORK_SECONDS = 10.0  # between two samples while there is work: 64 KB of them are over an hour then
ASKED_SECONDS = 1.0  # a sample reads every process's page tables, 1-5 ms each
SLOWEST = 16  # requests a worker remembers as slow before another must be slower
SLOWEST_SECONDS = 300.0  # after which it begins anew

# What scanners ask every server for; paths of applications this is not.
PROBES = (
    "/wp-login.php", "/wp-admin", "/wp-content", "/wp-includes", "/xmlrpc.php", "/.env", "/.git", "/.aws", "/.ssh",
    "/.htaccess", "/.htpasswd", "/phpmyadmin", "/phpinfo.php", "/vendor/phpunit", "/cgi-bin", "/server-status",
    "/actuator", "/solr", "/manager/html", "/boaform", "/config.json", "/administrator", "/admin.php", "/shell",
    "/console", "/hnap1", "/owa", "/autodiscover", "/etc/passwd",
)  # fmt: skip

# Refusals that say something about who asks; other codes of the same status are a client's mistakes.
BY_STATUS = {401: "authentication_failed", 403: "forbidden", 429: "rate_limited", 413: "oversized_body"}
UPLOADS = frozenset(("invalid_audio", "upload_too_large", "audio_too_long", "unsupported_format"))


class Sample(NamedTuple):
    """The service at a time: PSS in MB by role, the control group's usage in MB, its processor seconds."""

    time: float
    pss_mb: dict[str, float]
    cgroup_mb: float | None
    cpu_seconds: float
    sessions: int = 0  # that are live


class History:
    """One per worker, owned by Monitoring, shared by its threads; samples of all workers are one series."""

    def __init__(
        self, slot: WorkerSlot, processes: Callable[[], list[Process]], clock: Callable[[], float] = time.time
    ) -> None:
        self._memory, self._processes, self._clock = slot.memory, processes, clock
        self._ring = slot.memory.ring("samples", slot.number)
        self._last = 0.0

    def at_work(self) -> None:
        """There is work: take a sample, unless there was one lately."""
        if self._clock() - self._last >= AT_WORK_SECONDS:
            self.take()

    def samples(self, seconds: float) -> list[Sample]:
        """Those of the last *seconds*, oldest first; the last one is taken now."""
        if self._clock() - self._last >= ASKED_SECONDS:
            self.take()
        records = self._memory.records("samples", self._clock() - seconds)
        return [Sample(record.time, *record.content) for record in records]

    def take(self) -> None:
        """Take a sample: an engine came or went, or it is time."""
        self._last = now = self._clock()
        group = cgroup.memory_group()
        processes = self._processes()
        usage_mb = round(group.usage_bytes / 2**20, 1) if group else None
        cpu = round(sum(process.cpu_seconds for process in processes), 2)
        sessions = int(sum(self._memory.live.tolist()))
        self._ring.append([by_role(processes), usage_mb, cpu, sessions], now)


def by_role(processes: Iterable[Process]) -> dict[str, float]:
    """PSS in MB of all processes of a role."""
    sums: dict[str, float] = {}
    for process in processes:
        sums[process.role] = round(sums.get(process.role, 0.0) + process.footprint.pss_mb, 1)
    return sums


class Monitoring:
    """One per worker, owned by Services, shared by its threads."""

    def __init__(
        self, slot: WorkerSlot, processes: Callable[[], list[Process]], clock: Callable[[], float] = time.time
    ) -> None:
        self.slot, self._clock = slot, clock
        self.metrics = Metrics(slot)
        self.windows = Windows(slot, clock)
        self.history = History(slot, processes, clock)
        for work in ("engine_wait_seconds", "speech_real_time_factor_ratio", "realtime_sessions"):
            self.metrics.then[work] = self.history.at_work
        for engine in ("engine_cold_start_seconds", "engine_exits_total"):
            self.metrics.then[engine] = self.history.take
        self._errors, self._refusals, self._slow, self._addresses = (
            slot.memory.ring(name, slot.number) for name in ("errors", "refusals", "slow", "addresses")
        )
        self._lock = threading.Lock()
        self._slowest: list[float] = []
        self._slow_floor, self._slow_until = 0.0, 0.0

    def record_request(self, request: RequestRecord) -> None:
        """Count a request; remember it where it failed, was refused or was slow."""
        now = self._clock()
        if now >= self.windows.due:
            self.windows.before_a_change(now)
        self.metrics.request_ended(request)
        self.slot.memory.changed[self.slot.number] = now
        if request.seconds > self._slow_floor or now >= self._slow_until:
            self._record_slow(request, now)
        if request.status >= 500:
            self._errors.append([request.code, request.route, request.status, request.request_id], now)
        elif request.status >= 400:
            self._record_refusal(request, now)

    def _record_slow(self, request: RequestRecord, now: float) -> None:
        with self._lock:
            if now >= self._slow_until:
                self._slowest, self._slow_until = [], now + SLOWEST_SECONDS
            self._slowest = sorted([*self._slowest, request.seconds])[-SLOWEST:]
            self._slow_floor = self._slowest[0] if len(self._slowest) == SLOWEST else 0.0
        self._slow.append(
            [request.method, request.route, request.status, round(request.seconds, 4), request.request_id],
            now,
        )

    def _record_refusal(self, request: RequestRecord, now: float) -> None:
        """A request was refused: count it by its reason, and remember the address without its last part."""
        target = probe(request.path) if request.route == UNMATCHED else ""
        if request.code in UPLOADS:
            reason = request.code
        elif target:
            reason = "probe"
        elif request.status in BY_STATUS:
            reason = BY_STATUS[request.status]
        elif request.route == UNMATCHED:
            reason = "unknown_path"
        else:
            return
        self.metrics.note("http_refusals_total", 1, reason)
        address = masked(request.peer or "")
        self._addresses.append(address, now)
        if reason != "unknown_path":  # a scan of thousands would drive out what matters
            self._refusals.append(
                [reason, target or request.code, address, request.route, request.request_id], now
            )


def probe(path: str) -> str:
    """The known target of scanners that *path* asks for; empty when it is none."""
    lower = path.lower()
    return next((known for known in PROBES if known in lower), "")


def masked(address: str) -> str:
    """*address* without its last octet, 203.0.113.x; of version 6 the network, 2001:db8:0:1::x."""
    whose = network(address.strip())
    return f"{whose.rpartition('.')[0]}.x" if "." in whose else whose.replace("/64", "x")
