"""How large this process and the whole service are, and what can be given back."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psutil

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MB = 1 << 20


class Footprint(NamedTuple):
    """
    One process's memory in MB.

    *pss_mb* counts a page shared by n processes as 1/n in each, so it adds up over processes; *uss_mb* is
    what would come back if this process ended (Documentation/filesystems/proc.rst, smaps_rollup).
    """

    rss_mb: float
    pss_mb: float
    uss_mb: float


class Process(NamedTuple):
    """
    One process of the service and what it is there for.

    *cpu_seconds* is its processor time, and that of its children that have ended.
    """

    pid: int
    role: str
    footprint: Footprint
    cpu_seconds: float


class System(NamedTuple):
    """The machine's memory in MB; *used* is what programs can't get, and *percent* how much of all that is."""

    total_mb: float
    used_mb: float
    available_mb: float
    percent: float


def footprint(pid: int | None = None) -> Footprint:
    """The memory of *pid*, by default of this process; ProcessLookupError when it has ended."""
    import psutil  # here, as below: 0.8 MB and 17 ms that a start and /health do without

    try:
        return _weigh(psutil.Process(pid))
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(pid) from error


def _weigh(process: psutil.Process) -> Footprint:
    import psutil

    try:
        found = process.memory_full_info()
    except psutil.AccessDenied:  # another user's process, or a sandbox without smaps: RSS is what there is
        resident = process.memory_info().rss / MB
        return Footprint(resident, resident, resident)
    return Footprint(found.rss / MB, found.pss / MB, found.uss / MB)


def service(root_pid: int) -> list[Process]:
    """Every process of the service that *root_pid* started, itself first."""
    import psutil

    found = []
    try:
        root = psutil.Process(root_pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    for process in family:
        try:
            times = process.cpu_times()
            cpu_seconds = times.user + times.system + times.children_user + times.children_system
            role = _role(process.pid, process.cmdline(), root_pid)
            found.append(Process(process.pid, role, _weigh(process), cpu_seconds))
        except psutil.Error:
            continue
    return found


def _role(pid: int, command: list[str], root_pid: int) -> str:
    if "app.engine_process" in command:
        return command[command.index("app.engine_process") + 1]
    return "master" if pid == root_pid and pid != os.getpid() else "web"


def system() -> System:
    """The machine's memory now."""
    import psutil

    found = psutil.virtual_memory()
    used = found.total - found.available
    return System(found.total / MB, used / MB, found.available / MB, 100 * used / found.total)


def total_mb() -> float:
    """All of the machine's memory, which the budget needs at the start, before psutil is imported."""
    return os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES / MB


def keep_heap_small() -> None:
    """
    Have this process and its children by fork give large blocks back as they are freed.

    The C library raises its threshold to the largest block it has seen freed, and gives each thread a heap of
    its own: after 200 hostile forms and JSON bodies, 9 MB stayed that nothing was in; so 3.5 stay, however many.
    """
    _call_glibc("mallopt", -3, 128 << 10)  # M_MMAP_THRESHOLD: glibc's own start, which now stays
    _call_glibc("mallopt", -8, 1)  # M_ARENA_MAX: threads hold the interpreter's lock when they allocate


def give_back() -> int:
    """Collect garbage and return free heap pages to the system; how many objects were collected."""
    collected = gc.collect()
    trim_heap()
    return collected


def trim_heap() -> None:
    """Return free heap pages to the system."""
    _call_glibc("malloc_trim", 0)


def _call_glibc(name: str, *arguments: int) -> None:
    if (function := getattr(ctypes.CDLL(None), name, None)) is not None:  # musl has none of them
        function(*arguments)


class Throttle:
    """True at most once in *seconds*; for what need not be done after every request. One per worker."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._next = seconds, clock, 0.0

    def __call__(self) -> bool:
        """Whether it is time; if so, not again for a while."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def after_request(soft_limit_mb: float, hard_limit_mb: float) -> bool:
    """Give memory back when this process outgrew the soft limit; whether it is past the hard one even then."""
    if _resident_mb() < soft_limit_mb:
        return False
    give_back()
    return _resident_mb() >= hard_limit_mb


def _resident_mb() -> float:
    """RSS from statm, 1 µs through a file that stays open; opening it takes 17 more, psutil's smaps_rollup 400."""
    return int(os.pread(_statm(os.getpid()), 128, 0).split()[1]) * PAGE_BYTES / MB


@cache
def _statm(pid: int) -> int:
    return os.open(f"/proc/{pid}/statm", os.O_RDONLY)
