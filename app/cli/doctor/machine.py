"""The machine: packages, processors, memory, and the port."""

import errno
import importlib.util
import json
import os
import platform
import socket
import urllib.request
from collections.abc import Iterator

from ... import cgroup
from ... import memory as room
from ...config import Settings
from ...engine.budget import budget_mb
from .finding import Finding, error, warning, well

NEEDED = ("flask", "gunicorn", "prometheus_client", "numpy", "av", "ctranslate2", "tokenizers", "requests")
OLDEST_PYTHON = (3, 10)
LOOK_SECONDS = 2


def packages(settings: Settings) -> Iterator[Finding]:
    """Python, and what requirements.txt brings."""
    version = platform.python_version()
    if tuple(map(int, platform.python_version_tuple()[:2])) < OLDEST_PYTHON:
        yield error("python", f"{version} is too old", "use Python 3.10 or newer")
        return
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        yield error("packages", f"not installed: {', '.join(missing)}", "pip install -r requirements.txt")
    else:
        yield well("packages", f"Python {version}, everything requirements.txt brings is there")


def processors(settings: Settings) -> Iterator[Finding]:
    """How many there are to transcribe with."""
    granted = cgroup.processors()
    if settings.stt_threads > granted:
        yield warning(
            "processors",
            f"{settings.stt_threads} threads (STT_THREADS) share {granted} processors",
            f"set STT_THREADS to {granted} or 0",
        )
    else:
        yield well("processors", f"{granted}")


def memory(settings: Settings) -> Iterator[Finding]:
    """What the budget is, and whether somebody grants less."""
    machine, group = room.system(), cgroup.memory_group()
    limit_mb = group.limit_bytes / 2**20 if group and group.limit_bytes else None
    granted = limit_mb if limit_mb is not None and limit_mb < machine.total_mb else machine.total_mb
    whose = "container's limit" if granted == limit_mb else "machine's memory"
    budget = budget_mb(settings)
    if budget > granted:
        yield error(
            "memory",
            f"the budget of {budget:.0f} MB (MEMORY_BUDGET_MB) is more than the {whose}, {granted:.0f} MB: "
            "the kernel would end processes before the service refuses work",
            f"set MEMORY_BUDGET_MB to {granted:.0f} or leave it out",
        )
    else:
        yield well("memory", f"budget {budget:.0f} MB, {whose} {granted:.0f} MB")
    if group and group.oom_kills:
        yield warning(
            "memory",
            f"the kernel has ended {group.oom_kills} processes of this container for want of memory",
            "set MEMORY_BUDGET_MB to what the host grants, or see what else runs in the container",
        )


def port(settings: Settings) -> Iterator[Finding]:
    """Whether the server could listen, or listens already."""
    place = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
        try:
            probe.bind((settings.host, settings.port))
            probe.listen()
        except (OSError, UnicodeError) as problem:
            yield _not_free(settings, problem)
        else:
            yield well("port", f"{place} is free")


def _not_free(settings: Settings, problem: OSError | UnicodeError) -> Finding:
    place = f"{settings.host}:{settings.port}"
    number = getattr(problem, "errno", None)
    if number == errno.EADDRINUSE:
        if _is_ours(settings.port):
            return well("port", f"{place}: this service answers there")
        return error("port", f"{place} is in use by another program", "end it, or set PORT to another")
    if number == errno.EACCES:
        return error("port", f"{place}: this user may not listen there", "set PORT to 1024 or more")
    reason = os.strerror(number) if number and number > 0 else str(problem)
    return error("port", f"{place} can't be listened on: {reason}", "set HOST to an address of this machine")


def _is_ours(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LOOK_SECONDS) as answer:
            return bool(json.load(answer)["name"] == "pam-voice")
    except (OSError, ValueError, KeyError, TypeError):
        return False
