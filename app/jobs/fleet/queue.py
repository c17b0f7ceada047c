"""Sends workers a task for each job; and how Celery is configured, in the web and in workers."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery import Celery
from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError
from kombu.utils.uuid import uuid

from ...config import Settings
from ...errors import BrokerUnavailable
from ..job import PART_MARK, QUEUED, Job, is_part, whole_id
from .store import RedisStore
from .transactions import ANSWER_SECONDS, CONNECT_SECONDS

if TYPE_CHECKING:
    from celery.canvas import Signature

log = logging.getLogger(__name__)

# The names of tasks, as Flower and `celery inspect` show them; those of jobs end with the job's kind.
PREFIX = "pam_voice."
PART, JOIN, LOOK_AFTER, REQUEUE = (PREFIX + name for name in ("part", "join", "look_after", "requeue"))

# Any job, in messages of 0.2.0 and before, and their queue; understood for one release.
PERFORM = PREFIX + "perform"
BEFORE = Queue("pam-voice", Exchange("pam-voice", type="direct"), routing_key="pam-voice")
QUEUE = Queue("pam-voice.jobs", Exchange("pam-voice.jobs", type="direct"), routing_key="jobs", max_priority=9)

# A broker without connections to its workers gives a message out again when it was not acknowledged for so long; who
# gets it sends it back while its job's holder lives.
VISIBILITY_SECONDS = 60
RESTORE_SECONDS = 10  # how often a worker looks for such messages
# Of a message with a countdown: it waits in a worker, not acknowledged, and must not be given out again meanwhile.
LONGEST_COUNTDOWN_SECONDS = 30.0
# Celery's limits are for work that does not end by itself, as it should at JOB_TIME_LIMIT_MINUTES.
SOFT_GRACE_SECONDS, HARD_GRACE_SECONDS = 30, 60
AT_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
AMQP = ("amqp", "pyamqp")


def transport_options(broker_url: str) -> dict[str, Any]:
    """Options of kombu's transport for *broker_url*."""
    if broker_url.startswith(("redis", "sentinel", "valkey")):
        return {
            "visibility_timeout": VISIBILITY_SECONDS,
            "unacked_restore_interval": RESTORE_SECONDS,
            "unacked_restore_throttle": 1,  # look at every interval, not at every tenth
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_keepalive": True,
        }
    if broker_url.startswith("sqs"):
        return {"visibility_timeout": VISIBILITY_SECONDS}
    if broker_url.startswith(AMQP):
        return {"confirm_publish": True, "read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    return {}


def priority(broker_url: str, *, behind: bool) -> int:
    """Of a message, *behind* those of whole jobs or with them: for RabbitMQ the highest number is the first."""
    return (0 if behind else 9) if broker_url.startswith(AMQP) else (9 if behind else 0)


def celery_app(settings: Settings, *, worker: bool = False) -> Celery:
    """Celery as *settings* want it; the web's only sends, and keeps no connection to the result backend."""
    url, results = settings.celery_broker_url, settings.fleet_redis_url
    options = transport_options(url)
    if not worker and "socket_connect_timeout" in options:
        options["socket_timeout"] = ANSWER_SECONDS  # workers wait for messages longer than that
    limit_seconds = settings.job_time_limit_minutes * 60
    backend = results if worker else None
    # Without what Celery has for Django, which loads its worker: 0.3 MB.
    app = Celery("pam-voice", broker=url, backend=backend, set_as_current=worker, fixups=[])
    app.conf.update(
        task_queues=[QUEUE, BEFORE],
        task_default_queue=QUEUE.name,
        task_default_priority=priority(url, behind=False),
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_track_started=True,
        task_soft_time_limit=limit_seconds + SOFT_GRACE_SECONDS,
        task_time_limit=limit_seconds + HARD_GRACE_SECONDS,
        result_backend_transport_options={"retry_policy": AT_ONCE},  # work goes on while Redis is away
        result_expires=settings.job_ttl_hours * 3600,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,  # recordings a machine works on at the same time; `-c` changes it
        worker_max_memory_per_child=settings.worker_hard_limit_mb << 10,
        worker_send_task_events=True,  # for Flower
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the work goes on, and its result counts
        broker_transport_options=options,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # for as long as it takes
    )
    if results.startswith("rediss:") and "ssl_cert_reqs" not in results:
        app.conf.redis_backend_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return app


class CeleryQueue:
    """
    Sends a task for each job. Threads may share it; they send one after the other.

    The id of a task is that of its job: `AsyncResult(ID)` and Flower know it by the name that clients know.
    """

    def __init__(self, app: Celery, store: RedisStore) -> None:
        self._app, self._store = app, store
        timeout = {
            "connect_timeout": CONNECT_SECONDS,
            "transport_options": {**AT_ONCE, **app.conf.broker_transport_options},
        }
        self._connection = app.connection_for_write(**timeout)
        self._lock = threading.Lock()

    def check(self) -> None:
        """BrokerUnavailable when Redis or the broker does not answer."""
        self._store.check()
        with self._broker() as broker:
            # An open connection says nothing: this asks the broker something, and has a new one if need be.
            queue = QUEUE.bind(broker.default_channel)
            broker.ensure(queue, queue.declare, **AT_ONCE)()

    def changed(self, job: Job) -> None:
        """
        Send the task of a queued job; one that can't be sent now is sent by a worker later.

        Of a job in parts, the task that joins them: it tells Celery that the job was cancelled, or has failed.
        """
        if job.state != QUEUED and not job.extra.get("parts"):
            return
        try:
            self.send(job)
        except BrokerUnavailable:
            log.warning("job=%s could not be sent; a worker will", job.id)

    def send(self, job: Job) -> None:
        """Send the task of *job*, a part for one; where it has parts, the one that joins them. BrokerUnavailable."""
        if is_part(job.id):
            self._send(PART, [job.id], job.id, behind=True, **self._place(job))
        elif job.extra.get("parts"):
            self._send(JOIN, [None, job.id], job.id, behind=False)
        else:
            self._send(PREFIX + job.kind, [job.id], job.id, behind=False)
        self._store.note_sent(job.id)

    def chord(self, parts: list[Job]) -> Signature:
        """The tasks of *parts*, all of a job, and the one that joins them."""
        from celery import chord, group  # a worker has them, the web needs none

        behind = priority(self._app.conf.broker_url, behind=True)
        header = [self._app.signature(PART, [one.id], task_id=one.id, priority=behind) for one in parts]
        canvas = chord(header, self._join(parts[0]))
        canvas.tasks = group(header, app=self._app, task_id=parts[0].id.rpartition(PART_MARK)[0])
        return canvas

    def _join(self, part: Job) -> Signature:
        id, first = whole_id(part.id), priority(self._app.conf.broker_url, behind=False)
        return self._app.signature(JOIN, [id], task_id=id, priority=first)

    def _place(self, part: Job) -> dict[str, Any]:
        """What a message of *part* has in the chord, which may itself have been swallowed before it was sent."""
        group, index = part.id.rsplit(PART_MARK, 1)
        self._app.backend.set_chord_size(group, part.extra.get("of", 0))  # 0.2.0 has not noted it
        id = whole_id(part.id)
        place = {"group_id": group, "group_index": int(index), "chord": self._join(part)}
        return {**place, "root_id": id, "parent_id": id}

    def look_after(self, now: float) -> None:
        """Have a worker look after jobs that wait in vain: once all messages that were sent by *now* have come."""
        for behind in (False, True):
            self._send(LOOK_AFTER, [now, behind], uuid(), behind=behind, ignore_result=True)

    def _send(self, task: str, args: list[Any], id: str, *, behind: bool, **options: Any) -> None:
        # Celery's message without `send_task`, which loads its events for it: 1.1 MB less in a web worker.
        message = self._app.amqp.as_task_v2(id, task, args, **options)
        with self._broker() as broker:
            broker.Producer().publish(
                message.body,
                headers=message.headers,
                exchange=QUEUE.exchange,
                routing_key=QUEUE.routing_key,
                declare=[QUEUE],
                priority=priority(self._app.conf.broker_url, behind=behind),
                serializer="json",
                delivery_mode="persistent",
                retry=True,
                retry_policy=AT_ONCE,
                **message.properties,
            )

    @contextmanager
    def _broker(self) -> Iterator[Connection]:
        """The connection, for one thread at a time; BrokerUnavailable when the broker does not answer."""
        try:
            with self._lock:
                yield self._connection
        except (OperationalError, OSError) as error:
            reason = f"does not answer ({type(error).__name__}); try again"
            raise BrokerUnavailable(f"the broker that gives jobs to workers {reason}") from None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.release()
