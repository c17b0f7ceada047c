"""The lease of a worker on its job: other workers see by it when that worker is gone."""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from ...errors import BrokerUnavailable
from ..job import Job
from .records import BEAT_SECONDS
from .store import RedisStore

log = logging.getLogger(__name__)


class LeaseHeartbeat:
    """
    A thread that renews the lease on *job* from `with` to its end. *lost* is True once another worker has the job.

    While Redis does not answer, the work goes on; the store accepts no result from a worker that lost the job.
    """

    def __init__(self, job: Job, store: RedisStore) -> None:
        self.lost = False
        self._job, self._store = job, store
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> LeaseHeartbeat:
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
                self.lost = not self._store.renew_lease(self._job)
            except BrokerUnavailable:
                log.warning("job=%s: Redis does not answer; the work goes on", self._job.id)
