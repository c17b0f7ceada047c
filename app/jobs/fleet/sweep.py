"""What a worker's main process does every few seconds: it says that it is there, and has jobs looked after."""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from ...errors import BrokerUnavailable
from ..job import process_name
from ..webhooks import Webhooks
from .queue import CeleryQueue
from .store import RedisStore

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
LOOK_SECONDS = 15.0  # from one look after jobs to the next, by whichever worker


class Sweep:
    """Owned by a worker's main process; `start` starts its thread."""

    def __init__(self, store: RedisStore, queue: CeleryQueue, webhooks: Webhooks) -> None:
        self._store, self._queue, self._webhooks = store, queue, webhooks
        self._name = process_name()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def start(self) -> None:
        """Sweep from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
            with contextlib.suppress(BrokerUnavailable):
                self._store.forget_worker(self._name)
        self._webhooks.close()

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.sweep(time.time())
            except BrokerUnavailable as error:
                log.warning("sweep: %s", error.message)
            except Exception:
                log.exception("sweep failed")

    def cancel(self, id: str) -> None:
        """Cancel a job."""
        if (job := self._store.cancel(id, time.time())) is not None:
            log.info("job=%s was revoked", id)
            self._queue.changed(job)

    def sweep(self, now: float) -> None:
        """Do all of it once. *now* is in seconds since 1970."""
        self._store.note_worker(self._name)
        webhook_at = self._store.next_webhook_at()
        if webhook_at is not None and webhook_at <= now:
            self._webhooks.wake()
        if self._store.begin_look(LOOK_SECONDS):
            self._queue.look_after(now)
