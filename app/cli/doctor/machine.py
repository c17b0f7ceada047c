"""Settings, packages, processors, memory, the port, directories, who is let in, Redis, the broker and its workers."""

import dataclasses
import difflib
import importlib.util
import json
import os
import platform
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from typing import NamedTuple

from ... import cgroup
from ...access.keys import SHORT
from ...config import Settings, env_file
from ...config import platform as host
from ...engine.budget import MACHINE, budget_mb, budget_source, granted
from ...files import directory_problem, free_bytes
from ...memory import MB
from ...services import Services
from ...speech.models import WEB_MB
from ...startup import WHOLE_MACHINE, ignored, listen_problem, url
from ..config import effective, masked

NEEDED = ("flask", "gunicorn", "prometheus_client", "numpy", "av", "ctranslate2", "tokenizers", "requests")
LOOK_SECONDS = 2
ALIKE = 0.85  # of difflib's ratio: WHISPER_MODLE for WHISPER_MODEL, not WHISPER_BEAM for it
HEARTBEAT = "/dev/shm"  # noqa: S108 (gunicorn.conf.py's worker_tmp_dir)
WRITTEN_BYTES = 1 << 16
WRONG = "correct it or leave it out; .env.example says what each accepts"
MAKE_KEY = 'set API_KEYS, such as to what `python -c "import secrets; print(secrets.token_urlsafe())"` prints'
INSTALL = "pip install -r requirements.txt"
TIMEOUT_SECONDS = 3.0  # of Redis and the broker
PING_SECONDS = 1.0  # workers answer within some milliseconds
OK, WARNING, ERROR = "ok", "warning", "error"


class Finding(NamedTuple):
    """
    The state of one thing. An error keeps the service, or a part of it, from working; after a warning it works, but not
    as well as it could, or not for long.
    """

    status: str
    name: str
    detail: str
    remedy: str = ""


ok, warning, error = partial(Finding, OK), partial(Finding, WARNING), partial(Finding, ERROR)


def settings(settings: Settings) -> Iterator[Finding]:
    """The settings that are not the default, and where each comes from."""
    changed = [f"{name} ({source})" for name, _, source in effective(settings) if source != "default"]
    yield ok("settings", f"set: {', '.join(changed)}" if changed else "all defaults")
    for sentence in ignored(settings):
        yield warning("settings", sentence, "set the one, or leave out the other")


def misspelt() -> Iterator[Finding]:
    """Names that nothing reads: any in `.env`, and in the environment those that look like one of ours."""
    known = [field.name.upper() for field in dataclasses.fields(Settings)]
    written = env_file()
    for name in sorted({*written, *os.environ} - set(known)):
        close = difflib.get_close_matches(name, known, 1, ALIKE) if "_" in name or name in written else []
        if close:
            yield warning("settings", f"{name} is read by nothing", f"did you mean {close[0]}?")
        elif name in written:
            yield warning("settings", f"{name} in .env is no setting of this service", "see .env.example")


def packages(settings: Settings) -> Iterator[Finding]:
    """Python, and what requirements.txt brings."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        yield error("packages", f"not installed: {', '.join(missing)}", INSTALL)
    else:
        version = platform.python_version()
        yield ok("packages", f"Python {version}, everything requirements.txt brings is there")


def processors(settings: Settings) -> Iterator[Finding]:
    """How many there are to transcribe with."""
    count = cgroup.processors()
    if settings.stt_threads > count:
        yield warning(
            "processors",
            f"{settings.stt_threads} threads (STT_THREADS) share {count} processors",
            f"set STT_THREADS to {count} or 0",
        )
    else:
        yield ok("processors", f"{count}")


def memory(settings: Settings) -> Iterator[Finding]:
    """The budget, what is granted, and what the kernel did about it."""
    limit_mb, whose = granted()
    budget = f"budget {budget_mb(settings):.0f} MB ({budget_source(settings)}), {whose} {limit_mb:.0f} MB"
    if settings.environment == "production" and budget_source(settings) == MACHINE:
        detail, _, remedy = (WHOLE_MACHINE % limit_mb).rpartition("; ")
        yield warning("memory", detail, remedy)
    else:
        yield ok("memory", budget)
    if settings.worker_hard_limit_mb < WEB_MB:
        yield warning(
            "memory",
            f"WORKER_HARD_LIMIT_MB={settings.worker_hard_limit_mb} is less than a web worker weighs: it is replaced "
            "after every request",
            f"set it to {2 * WEB_MB} or more",
        )
    group = cgroup.memory_group()
    if group and group.oom_kills:
        yield warning(
            "memory",
            f"the kernel has killed {group.oom_kills} processes of this container because memory ran out",
            "set MEMORY_BUDGET_MB to what the host grants, or see what else runs in the container",
        )


def port(settings: Settings) -> Iterator[Finding]:
    """Whether the server could listen, or listens already; that it never can, its start says."""
    address = url((settings.host, settings.port))
    if listen_problem(settings) is None:
        yield ok("port", f"{address} is free")
    elif _is_ours(address):
        yield ok("port", f"{address}: this service answers there")
    else:
        yield error("port", f"{address} is in use by another program", "end it, or set PORT to another")


def _is_ours(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/", timeout=LOOK_SECONDS) as answer:  # noqa: S310 (our own)
            return bool(json.load(answer)["name"] == "pam-voice")
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return False


def directories(settings: Settings) -> Iterator[Finding]:
    """Directories that /health does not look at, each tried by writing to it."""
    cache_mb = settings.tts_cache_mb
    places = [("heartbeat", HEARTBEAT, f"mount {HEARTBEAT}", 0)]
    if cache_mb:
        remedy = "set TTS_CACHE_DIR to another directory"
        places.append(("speech cache", settings.tts_cache_dir, remedy, cache_mb))
    for name, directory, remedy, least_mb in places:
        if problem := directory_problem(directory, made=True, size_bytes=WRITTEN_BYTES):
            yield error(name, problem, remedy)
        elif (free_mb := free_bytes(directory) / MB) < least_mb:
            problem = f"{directory}: {free_mb:.0f} MB free, {least_mb} are needed"
            yield error(name, problem, f"free some, or {remedy}")
        else:
            yield ok(name, f"{directory}: {free_mb:.0f} MB free")


def keys(services: Services) -> Iterator[Finding]:
    """API_KEYS: missing where others can reach the service, or too short."""
    keys, production = services.access.keys, services.settings.environment == "production"
    where = f"on {host()}" if host() else "in production" if production else ""
    if keys.short:
        yield warning("access", f"an API key is shorter than {SHORT} characters", MAKE_KEY)
    elif keys:
        yield ok("access", f"{len(keys)} API key{'s' if len(keys) > 1 else ''}")
    elif where:
        yield warning("access", f"{where}, and API_KEYS is not set: anybody may use this service", MAKE_KEY)
    else:
        yield ok("access", "open to everybody who reaches it (API_KEYS is not set)")


def checks(services: Services) -> Iterator[Finding]:
    """What the service itself says in `/health`, as far as other lines do not say it."""
    settings = services.settings
    reported = {"transcription", "synthesis", "access", "rate limits"}
    if settings.celery_broker_url:
        reported |= {"jobs", "job storage", "job workers"}
    for check in services.checks():
        detail, _, remedy = check.reason.rpartition("; ")
        if check.name not in reported:
            yield error(check.name, detail, remedy) if check.reason else ok(check.name, check.detail)
    free_mb = free_bytes(settings.data_dir) / MB
    if free_mb < settings.job_disk_mb and not settings.celery_broker_url:
        yield warning(
            "jobs",
            f"{settings.data_dir}: {free_mb:.0f} MB free, jobs may take {settings.job_disk_mb} (JOB_DISK_MB)",
            "free some space, lower JOB_DISK_MB, or set DATA_DIR to another disk",
        )


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
    shown = masked(url)
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
        shown = masked(settings.job_storage_url)
        yield ok("job storage", f"{shown} takes a file and gives it back")
    else:
        yield warning(
            "job storage",
            f"JOB_STORAGE_URL is not set: workers must see {settings.data_dir} as this machine does",
            "share DATA_DIR, or set JOB_STORAGE_URL to s3://...",
        )
