"""What runs elsewhere: Redis, the broker, and where jobs' files are kept."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ...config import Settings
from ..config import masked
from .finding import OK, Finding, error, warning, well

TIMEOUT_SECONDS = 3.0
PING_SECONDS = 1.0  # workers answer within some milliseconds
SCHEMES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


def redis(settings: Settings) -> Iterator[Finding]:
    """REDIS_URL, where it is set."""
    if settings.redis_url:
        yield _redis("redis", settings.redis_url, "REDIS_URL")


def broker(settings: Settings) -> Iterator[Finding]:
    """CELERY_BROKER_URL, where it is set, and whether a worker takes jobs from it."""
    url = settings.celery_broker_url
    if not url:
        yield well("broker", "none set: jobs run in the service")
        return
    is_redis = urlsplit(url).scheme in ("redis", "rediss")
    found = _redis("broker", url, "CELERY_BROKER_URL") if is_redis else _other(url)
    yield found
    if found.status == OK:
        yield _workers(url)


def job_storage(settings: Settings) -> Iterator[Finding]:
    """JOB_STORAGE_URL, where it is set, or needed."""
    url = settings.job_storage_url
    scheme = urlsplit(url).scheme
    if not url:
        if settings.celery_broker_url:
            yield warning(
                "job storage",
                f"JOB_STORAGE_URL is not set: workers must see {settings.data_dir} as this machine does",
                "share DATA_DIR, or set JOB_STORAGE_URL to s3://...",
            )
    elif scheme == "file":
        place = Path(urlsplit(url).path)
        if place.exists() and not place.is_dir():
            yield error("job storage", f"{place} is not a directory", "set JOB_STORAGE_URL to one")
        else:
            yield well("job storage", f"{place}, which web and workers must share")
    elif (package := SCHEMES.get(scheme)) and importlib.util.find_spec(package) is None:
        yield error("job storage", f"{scheme}:// needs the package {package}", f"pip install {package}")
    else:
        yield well("job storage", masked(url, secret=True))


def _redis(name: str, url: str, setting: str) -> Finding:
    import redis as client

    shown = masked(url, secret=True)
    try:
        with client.Redis.from_url(
            url, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS
        ) as connection:
            connection.ping()
    except (client.RedisError, OSError, ValueError) as problem:
        return error(name, f"{shown} does not answer: {problem}", f"start it, or set {setting} right")
    return well(name, f"{shown} answers")


def _other(url: str) -> Finding:
    from kombu.connection import Connection
    from kombu.exceptions import KombuError

    shown = masked(url, secret=True)
    try:
        with Connection(url, connect_timeout=TIMEOUT_SECONDS) as connection:
            connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
    except (KombuError, OSError, KeyError, ImportError) as problem:  # KeyError: a transport nobody knows
        return error(
            "broker", f"{shown} does not answer: {problem}", "start it, or set CELERY_BROKER_URL right"
        )
    return well("broker", f"{shown} answers")


def _workers(url: str) -> Finding:
    from celery import Celery

    with Celery(broker=url) as app:
        answers = app.control.ping(timeout=PING_SECONDS)
    names = sorted(name for answer in answers for name in answer)
    if not names:
        return warning(
            "workers", "none answers: jobs wait", "start one: `make worker`, or the Procfile's line"
        )
    return well("workers", ", ".join(names))
