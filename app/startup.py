"""What is looked at before the service starts, and what its log says when it has."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import logs
from .config import BROKERS, PROJECT, ConfigError, Settings, broker_kind, is_ipv6
from .engine.budget import MACHINE, budget_mb, budget_source, granted
from .files import directory_problem
from .synthesizers import SYNTHESIZERS

if TYPE_CHECKING:
    from .services import Services

log = logging.getLogger("app")

PORT_SECONDS = 5.0
STORAGE_SECONDS = 20  # the storage of jobs that says nothing for so long is away, which is no wrong setting
FULL = os.strerror(errno.ENOSPC)
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (compared with, not listened on)
MEGABYTE_RATIO = 1.05  # hosts may say 512 MB and mean 512,000,000 bytes, which are 488 of ours
WHOLE_MACHINE = (
    "MEMORY_BUDGET_MB is not set and no container's limit can be read: the budget is the whole machine's memory, "
    "%.0f MB; set MEMORY_BUDGET_MB to what the host grants"
)


def read_settings(*, worker: bool = False) -> Settings:
    """
    The settings of this process's environment, of the web server or of a *worker*, if it can start with them.

    ConfigError has a sentence for everything that is wrong with them.
    """
    settings = Settings.from_env()
    if found := [sentence for _, sentence in problems(settings, worker=worker)]:
        raise ConfigError(*found)
    return settings


def settings_or_exit(*, worker: bool = False) -> Settings:
    """The same for a program that starts: with wrong settings it says what is wrong, and ends with status 1."""
    try:
        return read_settings(worker=worker)
    except ConfigError as problem:
        sys.exit(f"Error: {problem}")


def problems(settings: Settings, *, worker: bool = False) -> Iterator[tuple[str, str]]:
    """
    What would fail later, each as the name of a thing that is needed and a sentence that begins with a setting's name.

    What may change without a setting (a full disk, a model that is missing, a server that is away) is no such problem.
    """
    if worker:
        if not settings.celery_broker_url:
            yield "broker", "CELERY_BROKER_URL: must be set for a worker, as it is for the web server"
        settings = replace(settings, web_concurrency=1, engine_seats=1)  # jobs are done one at a time
    else:
        yield from _address(settings)
    yield from _access(settings)
    yield from _directories(settings)
    yield from _memory(settings)
    yield from _library(settings)
    yield from _packages(settings)
    yield from _voices(settings)
    if settings.job_storage_url:
        yield from _storage(settings)


def ignored(settings: Settings) -> Iterator[str]:
    """A sentence for each setting that has no effect because of another one."""
    if settings.openai_base_url and not settings.disable_local_whisper:
        yield "OPENAI_BASE_URL: has no effect: recordings are transcribed here unless DISABLE_LOCAL_WHISPER=true"
    if settings.job_storage_url and not settings.celery_broker_url:
        yield "JOB_STORAGE_URL: has no effect: jobs are kept under DATA_DIR unless CELERY_BROKER_URL is set"


def wait_for_port(settings: Settings) -> None:
    """Wait for a server to end that this one takes over from, as gunicorn would; where it stays, end with status 1."""
    deadline = time.monotonic() + PORT_SECONDS
    while listen_problem(settings) == errno.EADDRINUSE:
        if time.monotonic() >= deadline:
            used = f"{settings.port} is in use by another program; end it, or set PORT to another"
            sys.exit(f"Error: PORT: {used}")
        time.sleep(0.2)


def url(address: tuple[Any, ...] | str) -> str:
    """Where a browser on this machine finds what listens at a socket's *address*."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    shown = "localhost" if host in ANY_ADDRESS else f"[{host}]" if is_ipv6(host) else host
    return f"http://{shown}:{port}"


def announce(settings: Settings) -> None:
    """Log the old deployment's lines that apply, exactly."""
    log.info("💡 Memory optimizer disabled - using Python's built-in garbage collection")
    if settings.disable_local_whisper:
        log.info("🚫 Local Whisper disabled via environment variable (memory conservation)")
    log.info("🎯 Memory-optimized mode active")


def introduce(services: Services, address: tuple[Any, ...] | str) -> None:
    """Log in five lines what was started: its URL, who transcribes, who speaks, the memory, and who is let in."""
    settings, keys = services.settings, len(services.access.keys)
    transcription, synthesis = services.speech.checks()
    source, workers = budget_source(settings), settings.web_concurrency
    share = f", {services.speech.budget.limit_mb:.0f} MB for each of {workers} workers" if workers > 1 else ""
    log.info("URL: %s", url(address))
    for what, check in (("Speech to text", transcription), ("Text to speech", synthesis)):
        level = logging.WARNING if check.reason else logging.INFO
        log.log(level, "%s: %s", what, check.reason or check.detail)
    log.info("Memory budget: %.0f MB (%s)%s", budget_mb(settings), source, share)
    log.info("API keys: %s", f"{keys} set" if keys else "none, everybody who reaches this service may use it")
    if settings.environment == "production" and source == MACHINE:
        log.warning(WHOLE_MACHINE, budget_mb(settings))
    for sentence in ignored(settings):
        log.warning("%s", sentence)


def _complaint(thing: str, check: Callable[[], object]) -> Iterator[tuple[str, str]]:
    try:
        check()
    except ConfigError as problem:
        yield thing, str(problem)


def listen_problem(settings: Settings) -> int | None:
    """Why nothing can listen on HOST and PORT, as a number of `errno`, -1 for a name that is none; None: it can."""
    try:
        with socket.socket(socket.AF_INET6 if is_ipv6(settings.host) else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
            probe.bind((settings.host, settings.port))
            probe.listen()
    except (OSError, UnicodeError) as problem:
        return getattr(problem, "errno", None) or -1
    return None


def _address(settings: Settings) -> Iterator[tuple[str, str]]:
    problem = listen_problem(settings)
    if problem == errno.EACCES:
        yield "port", f"PORT: {settings.port}: this user may not listen there; set it to 1024 or more"
    elif problem not in (None, errno.EADDRINUSE):  # by the server this one takes over from: gunicorn waits
        yield "port", f"HOST: {settings.host!r} can't be listened on; set it to an address of this machine"


def _access(settings: Settings) -> Iterator[tuple[str, str]]:
    from .access.keys import Keys
    from .access.limits import LocalCounters, RateLimiter

    yield from _complaint("access", lambda: Keys(settings.api_keys))
    if settings.rate_limit:
        yield from _complaint("access", lambda: RateLimiter(settings.rate_limit, LocalCounters()))


def _directories(settings: Settings) -> Iterator[tuple[str, str]]:
    """Those that were named; a default that can't be used is no wrong setting, and only what needs it fails."""
    defaults = Settings()
    for thing, name, made in (
        ("uploads", "upload_dir", False),
        ("jobs", "data_dir", True),
        ("speech cache", "tts_cache_dir", True),
    ):
        directory = getattr(settings, name)
        is_set = directory != getattr(defaults, name)
        # A disk that is full today was no wrong setting yesterday.
        if is_set and (problem := directory_problem(directory, made=made)) and not problem.endswith(FULL):
            yield thing, f"{name.upper()}: {problem}; set it to a directory this user may write to"
    try:
        if Path(settings.model_dir).exists() and not Path(settings.model_dir).is_dir():
            yield "model", f"MODEL_DIR: {settings.model_dir} is not a directory"
        Path(settings.model_dir, "any").exists()  # raises where this user may not look into it
    except OSError as problem:
        yield "model", f"MODEL_DIR: {settings.model_dir} can't be used: {problem.strerror}"
    if not settings.upload_dir:
        try:
            tempfile.gettempdir()
        except FileNotFoundError:
            yield "uploads", "UPLOAD_DIR: must be set: there is no temporary directory that can be written to"


def _memory(settings: Settings) -> Iterator[tuple[str, str]]:
    from .speech import models

    limit_mb, whose = granted()
    if settings.memory_budget_mb > limit_mb * MEGABYTE_RATIO:
        yield (
            "memory",
            f"MEMORY_BUDGET_MB: {settings.memory_budget_mb} MB is more than {whose}, {limit_mb:.0f} MB: the kernel "
            f"would end processes before the service refuses work; set it to {limit_mb:.0f} or leave it out",
        )
    share_mb = budget_mb(settings) / settings.web_concurrency
    if not settings.disable_local_whisper:
        yield from _complaint("budget", lambda: models.choose(settings, share_mb))
    elif models.room_mb(share_mb, settings.memory_reserve_mb) < models.SMALLEST_MB:
        yield "budget", f"MEMORY_BUDGET_MB: no engine fits; {models.share_text(settings, share_mb)}"


def _library(settings: Settings) -> Iterator[tuple[str, str]]:
    from .speech.models import uses_library

    builtin = not uses_library(settings)
    for name, value, default in (
        ("WHISPER_DEVICE", settings.whisper_device, "cpu"),
        ("WHISPER_COMPUTE_TYPE", settings.whisper_compute_type, "int8"),
    ):
        if builtin and value not in (default, "auto", "default"):
            yield "model", f"{name}: {value} needs WHISPER_BACKEND=faster-whisper; builtin has {default} only"
    if not builtin and settings.whisper_device == "cuda" and (problem := gpu_problem()):
        yield "model", f"WHISPER_DEVICE: cuda can't be used: {problem}; set it to cpu or auto"


def gpu_problem() -> str:
    """Why no GPU can be used; empty where NVIDIA's driver names one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "this machine has no NVIDIA driver (libcuda.so.1)"
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "NVIDIA's driver finds no GPU"
    return ""


def _packages(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from (("packages", each) for each in logs.missing_packages(settings))
    kind = broker_kind(settings.celery_broker_url)
    package, all_of_them = BROKERS.get(kind, ("", ""))
    if not package:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(package)
    except PackageNotFoundError:
        yield "broker", f"CELERY_BROKER_URL: {kind}:// needs packages; run `pip install {all_of_them}`"


def _voices(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.tts_language == "en":  # whoever speaks at all speaks it
        return
    from .speech.voices import Voices

    voices = Voices(settings)
    engines = [settings.tts_engine] if settings.tts_engine in SYNTHESIZERS else SYNTHESIZERS
    known = voices.languages(engines)  # none where no synthesizer is installed
    if known and not any(voices.speaking(settings.tts_language, engine) for engine in engines):
        accepted = f"accepted: {', '.join(known)}"
        yield "synthesis", f"TTS_LANGUAGE: no synthesizer here speaks {settings.tts_language!r}; {accepted}"


def _storage(settings: Settings) -> Iterator[tuple[str, str]]:
    """Whether a byte can be written and read there; tried in another process, whose libraries would stay with us."""
    found = "f.storage_problem(lambda: f.build(c.Settings.from_env()))"
    code = f"import sys, app.config as c, app.jobs.files as f; sys.exit({found})"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "JOB_STORAGE_URL": settings.job_storage_url}
    try:
        done = subprocess.run(  # noqa: S603 (our own command)
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=STORAGE_SECONDS
        )
    except subprocess.TimeoutExpired:
        log.warning("JOB_STORAGE_URL: the storage did not answer within %d s", STORAGE_SECONDS)
        return
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        yield "job storage", f"JOB_STORAGE_URL: nothing can be written and read there: {reason}"
