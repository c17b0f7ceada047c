"""What runs elsewhere: Redis, the broker and its workers, and where jobs' files are kept."""

from collections.abc import Callable, Iterator

from ...config import Settings
from ..config import masked
from .finding import Finding, error, ok, warning

TIMEOUT_SECONDS = 3.0
PING_SECONDS = 1.0  # workers answer within some milliseconds


def redis(settings: Settings) -> Iterator[Finding]:
    """REDIS_URL, where it is set."""
    if settings.redis_url:
        yield _reach("redis", settings.redis_url, "REDIS_URL", _ping_redis)


def broker(settings: Settings) -> Iterator[Finding]:
    """CELERY_BROKER_URL, where it is set, and whether a worker takes jobs from it."""
    url = settings.celery_broker_url
    if not url:
        yield ok("broker", "none set: jobs run in the service")
        return
    finding = _reach("broker", url, "CELERY_BROKER_URL", _connect_broker)
    yield finding
    if not finding.remedy:
        yield _workers(url)


def _reach(name: str, url: str, setting: str, connect: Callable[[str], None]) -> Finding:
    shown = masked(url, secret=True)
    try:
        connect(url)
    except Exception as problem:  # each transport's library has its own
        return error(name, f"{shown} does not answer: {problem}", f"start it, or set {setting} right")
    return ok(name, f"{shown} answers")


def _ping_redis(url: str) -> None:
    from redis import Redis

    timeouts = {"socket_connect_timeout": TIMEOUT_SECONDS, "socket_timeout": TIMEOUT_SECONDS}
    with Redis.from_url(url, **timeouts) as connection:
        connection.ping()


def _connect_broker(url: str) -> None:
    from kombu.connection import Connection

    with Connection(url, connect_timeout=TIMEOUT_SECONDS) as connection:
        connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)


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
    """JOB_STORAGE_URL, where it is needed; that a byte can be written there was tried as at the start."""
    if not settings.celery_broker_url:
        return
    if settings.job_storage_url:
        shown = masked(settings.job_storage_url, secret=True)
        yield ok("job storage", f"{shown} takes a file and gives it back")
    else:
        yield warning(
            "job storage",
            f"JOB_STORAGE_URL is not set: workers must see {settings.data_dir} as this machine does",
            "share DATA_DIR, or set JOB_STORAGE_URL to s3://...",
        )
