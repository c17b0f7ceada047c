"""The metrics that are read when somebody asks: sizes, processor time, the budget, the version."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from .. import __version__, cgroup
from ..config import Settings
from ..files import free_bytes
from .monitoring import by_role

if TYPE_CHECKING:
    from ..services import Services
    from .metrics import Metrics

# Where the hosts say which commit runs: Render, Heroku (build, and with dyno metadata), or the operator.
COMMIT_VARIABLES = ("RENDER_GIT_COMMIT", "HEROKU_SLUG_COMMIT", "SOURCE_VERSION", "GIT_COMMIT")
MB = 1 << 20


def commit() -> str:
    """The commit that runs, where the host tells; else "unknown"."""
    return next((os.environ[name] for name in COMMIT_VARIABLES if os.environ.get(name)), "unknown")


def text(services: Services, counters: Metrics) -> bytes:
    """Every metric in Prometheus's text format, version 0.0.4: the counters of all workers, and the sizes of now."""
    return generate_latest(SimpleNamespace(collect=lambda: chain(counters.collect(), metrics(services))))


class Disk(NamedTuple):
    """The disk uploads wait on."""

    free_mb: float
    used_share: float


def disk(settings: Settings) -> Disk:
    """How full it is now; a disk whose state can't be read counts as full."""
    try:
        found = shutil.disk_usage(settings.upload_dir or tempfile.gettempdir())
    except OSError:
        return Disk(0.0, 1.0)
    return Disk(found.free / MB, 1 - found.free / found.total if found.total else 0.0)


def metrics(services: Services) -> Iterable[Metric]:
    """Sizes of the whole service now, over all workers."""
    processes = services.processes()
    budget = services.speech.budget
    workers = services.settings.web_concurrency
    weights = {role: weight * MB for role, weight in by_role(processes).items()}
    yield _gauge_by("role", "service_memory_pss_bytes", "Memory by role (PSS)", weights)
    # A worker knows the cost of its own engines only, so the sum of what is there stands for the use.
    limit = budget.limit_mb * workers * MB
    yield _gauge("service_memory_budget_bytes", "Memory budget of the service", limit)
    used = max(budget.used_mb(), sum(process.footprint.pss_mb for process in processes))
    yield _gauge("service_memory_budget_used_bytes", "Memory in use, reservations included", used * MB)
    if group := cgroup.memory_group():
        yield _gauge("service_cgroup_memory_usage_bytes", "The control group's usage", group.usage_bytes)
        if group.limit_bytes is not None:
            yield _gauge("service_cgroup_memory_limit_bytes", "The control group's limit", group.limit_bytes)
    processor = sum(process.cpu_seconds for process in processes)
    yield CounterMetricFamily("service_cpu_seconds", "Processor time of all processes", value=processor)
    with contextlib.suppress(OSError):
        free = free_bytes(services.settings.data_dir)
        yield _gauge("service_data_disk_free_bytes", "Left on the disk jobs are kept on (DATA_DIR)", free)
    used = disk(services.settings).used_share
    yield _gauge("service_disk_used_ratio", "Used share of the disk with the uploads", used)
    yield from _jobs(services)
    if services.monitoring is not None:
        starts = services.monitoring.slot.memory.starts
        yield CounterMetricFamily("service_worker_starts", "Web workers started", value=starts)
    yield _gauge("service_start_time_seconds", "When this worker started (Unix time)", services.started_at)
    about = GaugeMetricFamily("service_info", "What runs; always 1", labels=["version", "commit"])
    about.add_metric([__version__, commit()], 1)
    yield about


def _jobs(services: Services) -> Iterable[Metric]:
    """The queue, for whoever scales workers; nothing while what keeps it is away."""
    counts = services.job_counts()
    if counts is None:
        return
    yield _gauge_by("state", "jobs", "Jobs that are kept, by state", counts.by_state)
    yield _gauge("jobs_queue_length", "Jobs that wait", counts.queued)
    oldest = counts.oldest_waiting_seconds
    yield _gauge("jobs_oldest_waiting_seconds", "How long the oldest waiting job has waited", oldest)
    yield _gauge("jobs_stored_bytes", "Disk space that jobs take", counts.stored_bytes)
    yield _gauge("jobs_stored_limit_bytes", "JOB_DISK_MB", services.settings.job_disk_mb << 20)
    since = counts.oldest_progress_seconds
    stands = "Since the last progress of the running job that made none for longest"
    yield _gauge("jobs_oldest_progress_seconds", stands, since)
    if counts.workers is not None:
        yield _gauge("jobs_workers", "Workers seen in the last 10 s (with CELERY_BROKER_URL)", counts.workers)


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)


def _gauge_by(label: str, name: str, help: str, values: Mapping[str, float]) -> Metric:
    found = GaugeMetricFamily(name, help, labels=[label])
    for value_of_label, value in values.items():
        found.add_metric([value_of_label], value)
    return found
