"""How large this process and the whole service are, and what can be given back."""

import ctypes
import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Footprint:
    """
    One process's memory in MB.

    *pss_mb* counts a page shared by n processes as 1/n in each, so it adds up over processes; *uss_mb* is
    what would come back if this process ended (Documentation/filesystems/proc.rst, smaps_rollup).
    """

    rss_mb: float
    pss_mb: float
    uss_mb: float


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the service and what it is there for."""

    pid: int
    role: str
    footprint: Footprint


def pss_mb(pid: int | None) -> float:
    """PSS in MB of the process *pid*; 0 without one."""
    try:
        return footprint(pid).pss_mb if pid else 0.0
    except ProcessLookupError:
        return 0.0


def footprint(pid: int | None = None) -> Footprint:
    """The memory of *pid*, by default of this process; ProcessLookupError when it has ended."""
    directory = PROC / str(pid or os.getpid())
    fields: dict[str, int] = {}
    try:
        for line in (directory / "smaps_rollup").read_text().splitlines()[1:]:
            name, kilobytes = line.split()[:2]
            fields[name] = int(kilobytes)
    except PermissionError:  # another user's process, or a sandbox without smaps: RSS is what there is
        resident = int((directory / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        return Footprint(resident, resident, resident)
    except OSError as error:
        raise ProcessLookupError(pid) from error
    unshared = fields.get("Private_Clean:", 0) + fields.get("Private_Dirty:", 0)
    return Footprint(fields.get("Rss:", 0) / 1024, fields.get("Pss:", 0) / 1024, unshared / 1024)


def service(root_pid: int) -> list[Process]:
    """Every process of the service that *root_pid* started, itself first."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            try:
                # The command's name may hold spaces and parentheses: fields count from the last one.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = []
    pending = [root_pid]
    while pending:
        pid = pending.pop(0)
        pending += sorted(children.get(pid, []))
        try:
            found.append(Process(pid, _role(pid, root_pid), footprint(pid)))
        except ProcessLookupError:
            continue
    return found


def _role(pid: int, root_pid: int) -> str:
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError as error:
        raise ProcessLookupError(pid) from error
    if b"app.engine_process" in words:
        return words[words.index(b"app.engine_process") + 1].decode()
    return "master" if pid == root_pid and pid != os.getpid() else "web"


@dataclass(frozen=True, slots=True)
class System:
    """The machine's memory in MB; *used* is what programs can't get."""

    total_mb: float
    available_mb: float

    @property
    def used_mb(self) -> float:
        """Total less available."""
        return self.total_mb - self.available_mb

    @property
    def percent(self) -> float:
        """Used, of total."""
        return 100 * self.used_mb / self.total_mb


def system() -> System:
    """The machine's memory now."""
    fields = {}
    for line in (PROC / "meminfo").read_text().splitlines():
        name, kilobytes = line.split()[:2]
        fields[name] = int(kilobytes) / 1024
    return System(total_mb=fields["MemTotal:"], available_mb=fields["MemAvailable:"])


def keep_heap_small() -> None:
    """
    Have this process and its children by fork give large blocks back as they are freed.

    The C library raises its threshold to the largest block it has seen freed, and gives each thread a heap of
    its own: after 200 hostile forms and JSON bodies, 9 MB stayed that nothing was in; so 3.5 stay, however many.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(-3, 128 << 10)  # M_MMAP_THRESHOLD: glibc's own start, which now stays
        mallopt(-8, 1)  # M_ARENA_MAX: threads hold the interpreter's lock when they allocate


def give_back() -> int:
    """Collect garbage and return free heap pages to the system; how many objects were collected."""
    collected = gc.collect()
    trim_heap()
    return collected


def trim_heap() -> None:
    """Return free heap pages to the system."""
    _malloc_trim()(0)


@cache
def _malloc_trim() -> Callable[[int], int]:
    try:
        return ctypes.CDLL(None).malloc_trim
    except AttributeError:  # musl has none
        return lambda pad: 0


class Seldom:
    """True when it was not for *seconds*; for what need not be done after every request. One per worker."""

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
    """RSS from statm, 2 µs through a file that stays open; opening it takes 17 more, smaps_rollup 400."""
    return int(os.pread(_statm(os.getpid()), 128, 0).split()[1]) * PAGE_BYTES / 2**20


@cache
def _statm(pid: int) -> int:
    return os.open(f"/proc/{pid}/statm", os.O_RDONLY)
