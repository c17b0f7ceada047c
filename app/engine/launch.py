"""
How an engine's process is started: its command, its environment, and the bound on what it may allocate.

`benchmarks/environment.py` measures each variable again; only those that pay stand here.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from ..cgroup import processors
from ..config import Settings
from .protocol import Header

# pip compiles no bytecode for level 2: under PYTHONOPTIMIZE=2 every start would compile numpy and av again,
# 0.34 s of 0.87. Nothing here depends on the level.
COMMON = {"PYTHONOPTIMIZE": "", "OPENBLAS_NUM_THREADS": "1"}

WHISPER = {
    **COMMON,
    # Buffers of half a MB and more go back to the system as they are freed: 20 MB less at the peak than with the C
    # library's own, growing threshold, and 8 less than at 1 MB, for 14 % more processor time (decision 10).
    "MALLOC_MMAP_THRESHOLD_": str(1 << 19),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 19),
    # What that costs is page faults; huge pages make 162,000 of 421,000 in two minutes of speech, at the same
    # peak. Where the kernel, or the C library before 2.35, has none, the setting does nothing.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "CT2_PACKED_GEMM": "0",  # see PACKED
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "2",  # stops growth when windows vary in length
}
# Where CTranslate2 multiplies with MKL, on Intel's processors, the weights may be packed for it: decoding takes 30 %
# less time (tiny.en), for a second copy of the decoder's weights in 5 bytes each. On others it does nothing.
PACKED = {**WHISPER, "CT2_PACKED_GEMM": "1"}
PACKED_BYTES = 5
# RLIMIT_DATA counts what is reserved, used or not: stacks of threads, arenas. tiny.en weighs 175 MB at its peak and
# has 293 reserved with two threads, 415 with eight sessions open. Each further thread that transcribes reserves 28, for
# it has one of OpenMP and one of the encoder, of 8 MB of stack each: 196 MB with one, 392 with eight, 611 with sixteen.
RESERVED_MB, RESERVED_THREAD_MB, RESERVED_SESSION_MB = 86, 32, 20


class Program(NamedTuple):
    """
    What an engine's process runs: its command, what is set in its environment, its cost in MB of PSS, and the name
    of its model where it has one.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    cost_mb: float
    model: str = ""


def threads(settings: Settings) -> int:
    """How many an engine computes with."""
    return settings.stt_threads or processors()


def uses_mkl() -> bool:
    """Whether CTranslate2 multiplies with MKL here: by itself on Intel's processors, or as CT2_USE_MKL says."""
    if said := os.environ.get("CT2_USE_MKL"):
        return said.lower() in ("1", "true")
    return processor("vendor_id") == "GenuineIntel"


def processor(fact: str) -> str:
    """What Linux says about the first processor; empty where it says nothing of that *fact*."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith(fact))
    except (OSError, StopIteration):
        return ""


def program(
    name: str, options: Header, environment: Mapping[str, str], *, cost_mb: float, seats: int, threads: int
) -> Program:
    """The engine *name* of `app.engine_process`, with a hard bound on what it may allocate."""
    reserved_mb = RESERVED_MB + RESERVED_THREAD_MB * threads + RESERVED_SESSION_MB * seats
    # What a GPU's driver reserves has no known bound.
    limit_mb = None if "backend" in options else round(cost_mb + reserved_mb)
    given = json.dumps({**options, "data_limit_mb": limit_mb})
    return Program((sys.executable, "-m", "app.engine_process", name, given), environment, cost_mb)
