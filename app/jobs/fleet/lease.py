"""Holding a job while it is worked on, so that others see when its worker is gone."""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from ...errors import BrokerUnavailable
from ..job import Job
from .records import BEAT_SECONDS
from .store import RedisStore

log = logging.getLogger(__name__)


class Held:
    """
    A lease on *job*, renewed by a thread from `with` to its end. *lost* once somebody else has the job.

    While Redis is away nothing is known, so the work goes on; the store takes no result of a job that was lost.
    """

    def __init__(self, job: Job, store: RedisStore) -> None:
        self.lost = False
        self._job, self._store = job, store
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Held:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS) and not self.lost:
            try:
                self.lost = not self._store.hold(self._job)
            except BrokerUnavailable:
                log.warning("job=%s: Redis does not answer; the work goes on", self._job.id)
