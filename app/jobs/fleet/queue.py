"""Sends workers a message for each job: in Celery's format, without Celery."""

from __future__ import annotations

import logging
import threading
import uuid
from typing import Any

from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError

from ...errors import BrokerUnavailable
from ..job import QUEUED, Job
from .store import RedisStore
from .transactions import ANSWER_SECONDS, CONNECT_SECONDS

log = logging.getLogger(__name__)

TASK = "pam_voice.perform"
QUEUE = Queue("pam-voice", Exchange("pam-voice", type="direct"), routing_key="pam-voice", durable=True)
LONGEST_VISIBILITY_SECONDS = 43_200  # SQS knows no longer one
AT_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def transport_options(broker_url: str, time_limit_seconds: float) -> dict[str, Any]:
    """
    Options of kombu's transport for *broker_url*.

    The broker delivers a message again when it was not acknowledged for longer than the longest job takes.
    """
    visibility_seconds = min(2 * time_limit_seconds, LONGEST_VISIBILITY_SECONDS)
    if broker_url.startswith(("redis", "sentinel", "valkey")):
        return {
            "visibility_timeout": visibility_seconds,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_keepalive": True,
        }
    if broker_url.startswith("sqs"):
        return {"visibility_timeout": visibility_seconds}
    if broker_url.startswith(("amqp", "pyamqp")):
        return {"confirm_publish": True, "read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    return {}


class CeleryQueue:
    """
    Sends jobs' ids to a broker. Threads may share it; they send one after the other.

    The message is that of Celery's protocol 2 (docs.celeryq.dev, "Message Protocol"): 4 MB less in a web
    worker than importing Celery to send it.
    """

    def __init__(self, broker_url: str, store: RedisStore, *, time_limit_seconds: float) -> None:
        self._store = store
        options = transport_options(broker_url, time_limit_seconds)
        if "socket_connect_timeout" in options:
            options["socket_timeout"] = ANSWER_SECONDS  # workers wait for messages longer than that
        self._connection = Connection(
            broker_url, connect_timeout=CONNECT_SECONDS, transport_options={**options, **AT_ONCE}
        )
        self._lock = threading.Lock()

    def start(self) -> None:
        """Nothing to do here: workers run the jobs."""

    def check(self) -> None:
        """BrokerUnavailable when Redis or the broker does not answer."""
        self._store.check()
        try:
            with self._lock:
                # An open connection says nothing: this asks the broker something, and has a new one if need be.
                queue = QUEUE.bind(self._connection.default_channel)
                self._connection.ensure(queue, queue.declare, **AT_ONCE)()
        except (OperationalError, OSError) as error:
            raise _unavailable(error) from None

    def changed(self, job: Job) -> None:
        """Send the message of a queued job; one that can't be sent now is sent by a worker's sweep."""
        if job.state != QUEUED:
            return
        try:
            self.send(job.id)
        except BrokerUnavailable:
            log.warning("job=%s could not be published; a worker will", job.id)

    def send(self, id: str) -> None:
        """Send the message of the job *id*; BrokerUnavailable."""
        number = str(uuid.uuid4())
        try:
            with self._lock:
                self._connection.Producer().publish(
                    [[id], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}],
                    exchange=QUEUE.exchange,
                    routing_key=QUEUE.routing_key,
                    declare=[QUEUE],
                    headers={
                        "lang": "py",
                        "task": TASK,
                        "id": number,
                        "root_id": number,
                        "parent_id": None,
                        "group": None,
                        "retries": 0,
                        "ignore_result": True,
                    },
                    correlation_id=number,
                    serializer="json",
                    delivery_mode="persistent",
                    retry=True,
                    retry_policy=AT_ONCE,
                )
        except (OperationalError, OSError) as error:
            raise _unavailable(error) from None
        self._store.mark_published(id)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.release()


def _unavailable(error: Exception) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"the broker that gives jobs to workers does not answer ({type(error).__name__}); try again"
    )
