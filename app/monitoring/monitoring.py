"""What is watched while requests are served: counted, timed, and the last of it remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..memory import Process
from . import addresses
from .answered import UNMATCHED, Answered
from .board import Place
from .history import History
from .metrics import Metrics
from .windows import Windows

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


class Monitoring:
    """One per worker, owned by Services, shared by its threads."""

    def __init__(
        self, place: Place, processes: Callable[[], list[Process]], clock: Callable[[], float] = time.time
    ) -> None:
        self.place, self._clock = place, clock
        self.metrics = Metrics(place)
        self.windows = Windows(self.metrics, place, clock)
        self.history = History(place, processes, clock)
        self.metrics.on_work, self.metrics.on_engine = self.history.at_work, self.history.take
        self._errors = place.board.ring("errors", place.number)
        self._refusals = place.board.ring("refusals", place.number)
        self._slow = place.board.ring("slow", place.number)
        self._addresses = addresses.Addresses(place.board.addresses(place.number))
        self._lock = threading.Lock()
        self._slowest: list[float] = []
        self._slow_floor, self._slow_until = 0.0, 0.0

    def answered(self, request: Answered) -> None:
        """Count a request; remember it where it failed, was refused or was slow."""
        now = self._clock()
        if now >= self.windows.due:
            self.windows.before_a_change(now)
        series = self.metrics.request_ended(request.method, request.route, request.status, request.seconds)
        self.place.board.set_changed(self.place.number, now)
        if request.received_bytes:
            series.received.inc(request.received_bytes)
        if request.sent_bytes:
            series.sent.inc(request.sent_bytes)
        if request.seconds > self._slow_floor or now >= self._slow_until:
            self._remember_slow(request, now)
        if request.status >= 500:
            self._errors.append([request.code, request.route, request.status, request.request_id], now)
        elif request.status >= 400:
            self._note_refusal(request, now)

    def _remember_slow(self, request: Answered, now: float) -> None:
        with self._lock:
            if now >= self._slow_until:
                self._slowest, self._slow_until = [], now + SLOWEST_SECONDS
            self._slowest = sorted([*self._slowest, request.seconds])[-SLOWEST:]
            self._slow_floor = self._slowest[0] if len(self._slowest) == SLOWEST else 0.0
        self._slow.append(
            [request.method, request.route, request.status, round(request.seconds, 4), request.request_id],
            now,
        )

    def _note_refusal(self, request: Answered, now: float) -> None:
        detail = probe(request.path) if request.route == UNMATCHED else ""
        if request.code in UPLOADS:
            reason = request.code
        elif detail:
            reason = "probe"
        elif request.status in BY_STATUS:
            reason = BY_STATUS[request.status]
        elif request.route == UNMATCHED:
            reason = "unknown_path"
        else:
            return
        self.refused(
            reason,
            address=request.peer or "",
            route=request.route,
            request_id=request.request_id,
            detail=detail,
        )

    def refused(
        self, reason: str, *, address: str, route: str = "", request_id: str = "", detail: str = ""
    ) -> None:
        """
        Somebody at *address* was turned away; *reason* is one of a few names, *detail* one of a known list.

        Answers with status 401, 403, 413 and 429 are noted by `answered`, without a call of this.
        """
        now = self._clock()
        self.metrics.refused_request(reason)
        shown = addresses.masked(address)
        self._addresses.add(shown)
        if reason != "unknown_path":  # a scan of thousands would drive out what matters
            self._refusals.append([reason, detail, shown, route, request_id], now)


def probe(path: str) -> str:
    """The known target of scanners that *path* asks for; empty when it is none."""
    lower = path.lower()
    return next((known for known in PROBES if known in lower), "")
