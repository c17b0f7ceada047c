"""What Prometheus reads: every counter of every worker, and the sizes of now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from itertools import accumulate, chain
from types import SimpleNamespace
from typing import TYPE_CHECKING

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge

from .. import __version__, cgroup
from ..files import free_bytes
from ..memory import MB
from .metrics import BUCKETS, COUNTERS, GAUGES, HISTOGRAMS, Counts, of
from .monitoring import Monitoring, by_role
from .reports import commit, disk_of_uploads

if TYPE_CHECKING:
    from ..services import Services


def text(services: Services, monitoring: Monitoring) -> bytes:
    """Every metric in Prometheus's text format, version 0.0.4: the counters of all workers, and the sizes of now."""
    return generate_latest(
        SimpleNamespace(
            collect=lambda: chain(counted(monitoring.metrics.total()), sizes(services, monitoring))
        )
    )


def counted(total: Counts) -> Iterable[Metric]:
    """Every counter, gauge and histogram of *total*."""
    for kind, table in ((CounterMetricFamily, COUNTERS), (Gauge, GAUGES)):
        for name, (help, *names) in table.items():
            metric = kind(name, help, labels=names)
            for labels, (value,) in of(total, name).items():
                metric.add_metric(labels, value)
            yield metric
    for name, (help, *names) in HISTOGRAMS.items():
        histogram = HistogramMetricFamily(name, help, labels=names)
        bounds = [*(str(float(bound)) for bound in BUCKETS[name]), "+Inf"]
        for labels, (*counts, seconds) in of(total, name).items():
            histogram.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), seconds)
        yield histogram


def sizes(services: Services, monitoring: Monitoring) -> Iterable[Metric]:
    """Sizes of the whole service now, over all workers."""
    processes = services.processes()
    budget = services.speech.budget
    workers = services.settings.web_concurrency
    weights = {role: weight * MB for role, weight in by_role(processes).items()}
    yield _gauge_by("role", "service_memory_pss_bytes", "Memory by role (PSS)", weights)
    # A worker knows the cost of its own engines only, so the sum of what is there stands for the use.
    limit = budget.limit_mb * workers * MB
    yield Gauge("service_memory_budget_bytes", "Memory budget of the service", limit)
    used = max(budget.used_mb(), sum(process.footprint.pss_mb for process in processes))
    yield Gauge("service_memory_budget_used_bytes", "Memory in use, reservations included", used * MB)
    if group := cgroup.memory_group():
        yield Gauge("service_cgroup_memory_usage_bytes", "The control group's usage", group.usage_bytes)
        if group.limit_bytes is not None:
            yield Gauge("service_cgroup_memory_limit_bytes", "The control group's limit", group.limit_bytes)
    processor = sum(process.cpu_seconds for process in processes)
    yield CounterMetricFamily("service_cpu_seconds", "Processor time of all processes", value=processor)
    with contextlib.suppress(OSError):
        free = free_bytes(services.settings.data_dir)
        yield Gauge("service_data_disk_free_bytes", "Left on the disk jobs are kept on (DATA_DIR)", free)
    _, share = disk_of_uploads(services.settings)
    yield Gauge("service_disk_used_ratio", "Used share of the disk with the uploads", share)
    yield from _queue(services)
    starts = monitoring.slot.memory.starts
    yield CounterMetricFamily("service_worker_starts", "Web workers started", value=starts)
    yield Gauge("service_start_time_seconds", "When this worker started (Unix time)", services.started_at)
    about = Gauge("service_info", "What runs; always 1", labels=["version", "commit"])
    about.add_metric([__version__, commit()], 1)
    yield about


def _queue(services: Services) -> Iterable[Metric]:
    """The queue, for whoever scales workers; nothing while what keeps it is away."""
    counts = services.job_counts()
    if counts is None:
        return
    yield _gauge_by("state", "jobs", "Jobs that are kept, by state", counts.by_state)
    yield Gauge("jobs_queue_length", "Jobs that wait", counts.by_state["queued"])
    oldest = counts.oldest_waiting_seconds
    yield Gauge("jobs_oldest_waiting_seconds", "How long the oldest waiting job has waited", oldest)
    yield Gauge("jobs_stored_bytes", "Disk space that jobs take", counts.stored_bytes)
    yield Gauge("jobs_stored_limit_bytes", "JOB_DISK_MB", services.settings.job_disk_mb << 20)
    since = counts.oldest_progress_seconds
    stands = "Since the last progress of the running job that made none for longest"
    yield Gauge("jobs_oldest_progress_seconds", stands, since)
    if counts.workers is not None:
        yield Gauge("jobs_workers", "Workers seen in the last 10 s (with CELERY_BROKER_URL)", counts.workers)


def _gauge_by(label: str, name: str, help: str, values: Mapping[str, float]) -> Metric:
    found = Gauge(name, help, labels=[label])
    for value_of_label, value in values.items():
        found.add_metric([value_of_label], value)
    return found
