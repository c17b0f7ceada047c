"""The worker: what `celery -A app.jobs.fleet.worker worker` runs, on as many machines as wanted."""

from __future__ import annotations

import dataclasses
import mmap
import signal
from typing import Any

from celery import Celery, signals
from celery.worker import state

from ... import cgroup, logs, startup
from ...access import Access
from ...engine.budget import budget_mb, weigh_web
from ...speech.service import Speech
from ..build import build_fleet
from ..webhooks import Webhooks
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


class WorkerState:
    """The state of a worker: its main process and each process it forks have a copy, and they share *leaving*."""

    def __init__(self) -> None:
        self.processes = 1
        self.leaving = mmap.mmap(-1, 1)  # shared memory: 1 once the worker is to end
        self.sweep: Sweep | None = None  # in the main process
        self.performer: Performer | None = None  # in each other process, from its first job on

    def leave(self, *_: object, **__: object) -> None:
        """Tell every process to put its job back and end."""
        self.leaving[0] = 1

    def is_leaving(self) -> bool:
        """Whether the worker is to end."""
        return self.leaving[0] == 1


this = WorkerState()


def perform(id: str) -> None:
    """Run one job."""
    if this.performer is None:
        this.performer = _performer()
    this.performer.perform(id)


def _performer() -> Performer:
    """With this process's share of the budget and of the processors; it has one session at a time."""
    share = dataclasses.replace(
        settings,
        engine_seats=1,
        stt_threads=settings.stt_threads or max(1, cgroup.processors() // this.processes),
    )
    speech = Speech.build(share, budget_mb(settings) / this.processes, weigh_web)
    store, files, queue = build_fleet(settings, _wait_for_redis)
    allowance = Access(settings).allowance
    return Performer(share, speech, allowance, store, files, queue, this.is_leaving)


def _wait_for_redis() -> bool:
    """Wait half a second before Redis is called again: a result is not thrown away because Redis is away."""
    signal.sigtimedwait([], 0.5)
    return not this.is_leaving()


def _set_up_logging(**_: object) -> None:
    logs.begin(settings)


def _note_processes(conf: Any, options: dict[str, Any], **_: object) -> None:
    this.processes = int(options.get("concurrency") or conf.worker_concurrency)


def _start_sweep(**_: object) -> None:
    store, files, queue = build_fleet(settings)
    this.sweep = Sweep(
        store,
        files,
        queue,
        Webhooks(store, settings),
        idle=lambda: not state.reserved_requests,
        attempts=settings.job_attempts,
        keep_seconds=settings.job_ttl_hours * 3600,
    )
    this.sweep.start()


def _ignore_sigterm(**_: object) -> None:
    """Hosts send SIGTERM to every process; the main process receives it too, and tells the others to leave."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _close_engines(**_: object) -> None:
    if this.performer is not None:
        this.performer.close()


def _close_sweep(**_: object) -> None:
    if this.sweep is not None:
        this.sweep.close()


app.task(name=TASK)(perform)
for when, what in (
    (signals.setup_logging, _set_up_logging),
    (signals.celeryd_init, _note_processes),
    (signals.worker_ready, _start_sweep),
    (signals.worker_process_init, _ignore_sigterm),
    (signals.worker_shutting_down, this.leave),
    (signals.worker_process_shutdown, _close_engines),
    (signals.worker_shutdown, _close_sweep),
):
    when.connect(what, weak=False)
