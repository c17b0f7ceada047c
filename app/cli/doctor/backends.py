"""What runs elsewhere: Redis, the broker and its workers, and where jobs' files are kept."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from ...config import Settings
from ..config import masked
from .finding import Finding, error, ok, warning

TIMEOUT_SECONDS = 3.0
PING_SECONDS = 1.0  # workers answer within some milliseconds


def redis(settings: Settings) -> Iterator[Finding]:
    """REDIS_URL, where it is set."""
    if settings.redis_url:
        yield _redis("redis", settings.redis_url, "REDIS_URL")


def _redis(name: str, url: str, setting: str) -> Finding:
    import redis as client

    shown, seconds = masked(url, secret=True), TIMEOUT_SECONDS
    try:
        with client.Redis.from_url(url, socket_connect_timeout=seconds, socket_timeout=seconds) as connection:
            connection.ping()
    except (client.RedisError, OSError, ValueError) as problem:
        return error(name, f"{shown} does not answer: {problem}", f"start it, or set {setting} right")
    return ok(name, f"{shown} answers")


def broker(settings: Settings) -> Iterator[Finding]:
    """CELERY_BROKER_URL, where it is set, and whether a worker takes jobs from it."""
    url = settings.celery_broker_url
    if not url:
        yield ok("broker", "none set: jobs run in the service")
        return
    is_redis = urlsplit(url).scheme in ("redis", "rediss")
    finding = _redis("broker", url, "CELERY_BROKER_URL") if is_redis else _other(url)
    yield finding
    if not finding.remedy:
        yield _workers(url)


def _other(url: str) -> Finding:
    from kombu.connection import Connection
    from kombu.exceptions import KombuError

    shown = masked(url, secret=True)
    try:
        with Connection(url, connect_timeout=TIMEOUT_SECONDS) as connection:
            connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
    except (KombuError, OSError, KeyError, ImportError) as problem:  # KeyError: a transport nobody knows
        detail = f"{shown} does not answer: {problem}"
        return error("broker", detail, "start it, or set CELERY_BROKER_URL right")
    return ok("broker", f"{shown} answers")


def _workers(url: str) -> Finding:
    from celery import Celery

    with Celery(broker=url) as app:
        answers = app.control.ping(timeout=PING_SECONDS)
    names = sorted(name for answer in answers for name in answer)
    if not names:
        remedy = "start one: `make worker`, or the Procfile's line"
        return warning("workers", "none answers: jobs wait", remedy)
    return ok("workers", ", ".join(names))


def job_storage(settings: Settings) -> Iterator[Finding]:
    """JOB_STORAGE_URL, where it is set or needed; that a byte can be written there was tried as at the start."""
    if settings.job_storage_url and not settings.celery_broker_url:
        yield warning(
            "job storage",
            "JOB_STORAGE_URL is set and not used: without CELERY_BROKER_URL jobs run here, and are kept in DATA_DIR",
            "set CELERY_BROKER_URL too, or leave it out",
        )
    elif settings.job_storage_url:
        yield ok(
            "job storage", f"{masked(settings.job_storage_url, secret=True)} takes a file and gives it back"
        )
    elif settings.celery_broker_url:
        yield warning(
            "job storage",
            f"JOB_STORAGE_URL is not set: workers must see {settings.data_dir} as this machine does",
            "share DATA_DIR, or set JOB_STORAGE_URL to s3://...",
        )
