"""The worker: what `celery -A app.jobs.fleet.worker worker` runs, on as many machines as wanted."""

from __future__ import annotations

import dataclasses
import mmap
import signal
from typing import Any

from celery import Celery, signals
from celery.worker import state

from ... import cgroup, logs, startup
from ...access.access import Access
from ...engine.budget import budget_mb, weigh_web
from ...speech.service import Speech
from ..webhooks import Webhooks
from . import build
from .performer import Performer
from .queue import QUEUE, TASK, transport_options
from .sweep import Sweep

# Celery's limits are for work that does not end by itself, as it should at JOB_TIME_LIMIT_MINUTES.
SOFT_GRACE_SECONDS, HARD_GRACE_SECONDS = 30, 60

settings = startup.settings_or_exit(worker=True)
time_limit_seconds = settings.job_time_limit_minutes * 60

app = Celery("pam-voice", broker=settings.celery_broker_url)
app.conf.update(
    task_queues=[QUEUE],
    task_default_queue=QUEUE.name,
    # A message is acknowledged when its job has ended, and given to another worker when this one is lost.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_concurrency=1,  # recordings a machine works on at the same time; `-c` changes it
    worker_max_memory_per_child=settings.worker_hard_limit_mb << 10,
    task_soft_time_limit=time_limit_seconds + SOFT_GRACE_SECONDS,
    task_time_limit=time_limit_seconds + HARD_GRACE_SECONDS,
    task_ignore_result=True,  # the store has it
    broker_transport_options=transport_options(settings.celery_broker_url, time_limit_seconds),
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # for as long as it takes
    worker_redirect_stdouts=False,
)


class Place:
    """What a worker's main process and the processes it forks each have of their own, and what they share."""

    def __init__(self) -> None:
        self.processes = 1
        self.leaving = mmap.mmap(-1, 1)  # shared: 1 once the worker is to end
        self.sweep: Sweep | None = None  # the main process's
        self.performer: Performer | None = None  # each other process's, from its first job on

    def leave(self, *_: object, **__: object) -> None:
        """Have every process put its job back and end."""
        self.leaving[0] = 1

    def is_leaving(self) -> bool:
        """Whether it is time."""
        return self.leaving[0] == 1


place = Place()


def perform(id: str) -> None:
    """Do one job."""
    if place.performer is None:
        place.performer = _performer()
    place.performer.perform(id)


def _performer() -> Performer:
    """With this process's share of the budget and of the processors; it has one session at a time."""
    share = dataclasses.replace(
        settings,
        engine_seats=1,
        stt_threads=settings.stt_threads or max(1, cgroup.processors() // place.processes),
    )
    speech = Speech.build(share, budget_mb(settings) / place.processes, weigh_web)
    store, files, queue = build(settings, goes_on_trying=_patiently)
    allowance = Access(settings).allowance
    return Performer(share, speech, allowance, store, files, queue, place.is_leaving)


def _patiently() -> bool:
    """Wait a moment for Redis to be back: what was worked out is not thrown away because it is away."""
    signal.sigtimedwait([], 0.5)
    return not place.is_leaving()


def _set_up_logging(**_: object) -> None:
    logs.begin(settings)


def _note_processes(conf: Any, options: dict[str, Any], **_: object) -> None:
    place.processes = int(options.get("concurrency") or conf.worker_concurrency)


def _begin_sweeping(**_: object) -> None:
    store, files, queue = build(settings)
    place.sweep = Sweep(
        store,
        files,
        queue,
        Webhooks(store, settings),
        idle=lambda: not state.reserved_requests,
        attempts=settings.job_attempts,
        keep_seconds=settings.job_ttl_hours * 3600,
    )
    place.sweep.begin()


def _let_the_owner_decide(**_: object) -> None:
    """Hosts send SIGTERM to every process; the main one, which gets it, too, tells the others to leave."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _end_engines(**_: object) -> None:
    if place.performer is not None:
        place.performer.close()


def _end_sweeping(**_: object) -> None:
    if place.sweep is not None:
        place.sweep.close()


app.task(name=TASK)(perform)
for when, what in (
    (signals.setup_logging, _set_up_logging),
    (signals.celeryd_init, _note_processes),
    (signals.worker_ready, _begin_sweeping),
    (signals.worker_process_init, _let_the_owner_decide),
    (signals.worker_shutting_down, place.leave),
    (signals.worker_process_shutdown, _end_engines),
    (signals.worker_shutdown, _end_sweeping),
):
    when.connect(what, weak=False)
