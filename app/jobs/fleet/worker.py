"""The worker: what `celery -A app.jobs.fleet.worker worker` runs, on as many machines as wanted."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import mmap
import random
import signal
import time
from typing import Any, NoReturn

from billiard import pool
from celery import signals
from celery.exceptions import Ignore, Reject
from kombu.exceptions import OperationalError
from redis import RedisError

from ... import cgroup, logs, startup
from ...access import Access
from ...engine.budget import budget_mb, weigh_web
from ...errors import ServiceError
from ...speech.service import Speech
from ..job import CANCELLED, FAILED, QUEUED, SPEAK, SUCCEEDED, TRANSCRIBE, Job
from ..service import build_fleet
from ..webhooks import Webhooks
from .performer import NotNow, Performer, Sweep
from .queue import JOIN, LONGEST_COUNTDOWN_SECONDS, LOOK_AFTER, PART, PERFORM, PREFIX, REQUEUE, celery_app

# A process that ends waits until the main process has read its last result, which does not read it any more at times
# while it ends itself: for 5 s, 50 times 0.1, instead of 30. Hosts kill a worker after 30 s.
pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 50

settings = startup.settings_or_exit(worker=True)
app = celery_app(settings, worker=True)


class JobFailed(Exception):
    """The job has failed, for this reason; only a requeue does it again."""


class AttemptFailed(Exception):
    """The job was put back after a failure; Celery tries it again."""


# Every wait is one of Celery's: how often a job may fail is counted with the job (JOB_ATTEMPTS).
RETRIES = {
    "bind": True,
    "autoretry_for": (AttemptFailed,),
    "retry_backoff": 2,
    "retry_backoff_max": LONGEST_COUNTDOWN_SECONDS,
    "retry_jitter": True,
    "max_retries": None,
    "throws": (JobFailed,),
}


class WorkerState:
    """The state of a worker: its main process and each process it forks have a copy, and they share *leaving*."""

    def __init__(self) -> None:
        self.processes = 1
        self.leaving = mmap.mmap(-1, 1)  # shared memory: 1 once the worker is to end
        self.sweep: Sweep | None = None  # in the main process

    @functools.cached_property
    def performer(self) -> Performer:
        """In each other process, from its first task on; with this process's share of the budget and processors."""
        threads = settings.stt_threads or max(1, cgroup.processors() // self.processes)
        share = dataclasses.replace(settings, engine_seats=1, stt_threads=threads)  # one session at a time
        speech = Speech(share, budget_mb(settings) / self.processes, weigh_web)
        store, files, queue = build_fleet(settings, _wait_for_redis, app)
        allowance = Access(settings).allowance
        return Performer(store, files, speech, share, allowance, queue, self.is_leaving)

    def leave(self, *_: object, **__: object) -> None:
        """Tell every process to put its job back and end."""
        self.leaving[0] = 1

    def is_leaving(self) -> bool:
        """Whether the worker is to end."""
        return self.leaving[0] == 1


this = WorkerState()


def perform(task: Any, id: str) -> dict[str, Any]:
    """Do one job, or one part; facts about its result."""
    try:
        job = this.performer.claim(id)
    except NotNow as wait:
        _come_back(task, wait.seconds)
    if job is None:
        return _outcome(task, id, failures=0)
    if job.attempt > 1:
        # else Flower shows the end before it
        task.send_event("task-retried", exception=f"attempt {job.attempt}")
    failures = job.failures
    if divided := this.performer.perform(job, lambda job: _tell(task, job)):
        task.replace(this.performer.queue.chord(divided))
    return _outcome(task, id, failures)


def join(task: Any, results: object, id: str) -> dict[str, Any]:
    """End a job whose parts are done; called by Celery with their *results*, which say nothing new."""
    try:
        this.performer.join(id)
    except (OSError, ServiceError) as error:  # the storage is away
        raise AttemptFailed(f"{type(error).__name__}: {error}") from None
    return _outcome(task, id, failures=0)


def look_after(sent_at: float, behind: bool) -> None:
    """Send again what was swallowed, and remove what has expired."""
    this.performer.look_after(sent_at, behind=behind)


def requeue(id: str) -> bool:
    """Do a job again that failed or was cancelled, as `POST .../jobs/ID/requeue` does; whether it is queued now."""
    if (job := this.performer.store.requeue(id)) is not None:
        this.performer.queue.changed(job)
    return job is not None


def _outcome(task: Any, id: str, failures: int) -> dict[str, Any]:
    """What came of a message for the job *id*, as Celery says it; it had so many *failures* before."""
    job = this.performer.store.get(id)
    if job is None or job.state == CANCELLED:  # or a part whose job has ended
        task.backend.mark_as_revoked(task.request.id, "cancelled")
        task.send_event("task-cancelled")  # Flower shows a later "revoked" as the progress before it
        raise Ignore
    if job.state == SUCCEEDED:
        return job.result
    if job.state == FAILED:
        error = job.error or {}
        raise JobFailed(f"{error.get('code')}: {error.get('message')}")
    if job.state == QUEUED:
        if this.is_leaving():
            raise Reject("the worker ends", requeue=True)
        if job.failures > failures:
            raise AttemptFailed(f"after {job.failures} failures")
        raise task.retry(countdown=_countdown(job.due_at - time.time()))
    raise Ignore  # held by another worker, or waiting for its parts


def _come_back(task: Any, seconds: float) -> NoReturn:
    """Send the message of *task* again, to come then. Celery's state of it stays: that of the job's holder."""
    task.signature_from_request(countdown=_countdown(seconds)).apply_async()
    raise Ignore


def _countdown(seconds: float) -> float:
    return min(LONGEST_COUNTDOWN_SECONDS, max(1.0, seconds) * random.uniform(1.0, 1.5))  # noqa: S311 (spreads workers)


def _tell(task: Any, job: Job) -> None:
    """Say how far *job* is: to whoever asks the result backend, and to Flower, which shows an event's result."""
    with contextlib.suppress(RedisError, OperationalError):  # it matters to nobody but those who watch
        task.update_state(state="PROGRESS", meta={"seconds_done": job.seconds_done, "attempt": job.attempt})
        task.send_event("task-progress", result=f"{job.seconds_done:.0f} s")


def _wait_for_redis() -> bool:
    """Wait half a second before Redis is called again: a result is not thrown away because Redis is away."""
    signal.sigtimedwait([], 0.5)
    return not this.is_leaving()


def _set_up_logging(**_: object) -> None:
    logs.begin(settings)
    for name in ("celery.worker.strategy", "celery.app.trace"):  # it would be all that an idle worker says
        logging.getLogger(name).addFilter(lambda record: LOOK_AFTER not in record.getMessage())


def _note_processes(conf: Any, options: dict[str, Any], **_: object) -> None:
    this.processes = int(options.get("concurrency") or conf.worker_concurrency)


def _start_sweep(**_: object) -> None:
    store, _files, queue = build_fleet(settings, celery=app)
    this.sweep = Sweep(store, queue, Webhooks(store, settings))
    this.sweep.start()


def _ignore_sigterm(**_: object) -> None:
    """Hosts send SIGTERM to every process; the main process receives it too, and tells the others to leave."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _cancel(request: Any, **_: object) -> None:
    """A task that was revoked, by `celery control revoke` or in Flower; that of a part takes its job with it."""
    if this.sweep is not None:
        this.sweep.cancel(request.id)


def _close_engines(**_: object) -> None:
    if "performer" in vars(this):
        this.performer.speech.close()


def _close_sweep(**_: object) -> None:
    if this.sweep is not None:
        this.sweep.close()


for name in (PREFIX + TRANSCRIBE, PREFIX + SPEAK, PART, PERFORM):
    app.task(perform, name=name, **RETRIES)
app.task(join, name=JOIN, **RETRIES)
app.task(look_after, name=LOOK_AFTER, ignore_result=True, send_events=False)
app.task(requeue, name=REQUEUE)
for when, what in (
    (signals.setup_logging, _set_up_logging),
    (signals.celeryd_init, _note_processes),
    (signals.worker_ready, _start_sweep),
    (signals.worker_process_init, _ignore_sigterm),
    (signals.task_revoked, _cancel),
    (signals.worker_shutting_down, this.leave),
    (signals.worker_process_shutdown, _close_engines),
    (signals.worker_shutdown, _close_sweep),
):
    when.connect(what, weak=False)
