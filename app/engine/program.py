"""What an engine's process is: its command, its environment, and the bound on what it may allocate."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from .protocol import Header

# RLIMIT_DATA counts what is reserved, used or not: stacks of threads, arenas. tiny.en weighs 175 MB at its peak and
# has 293 reserved, 415 with eight sessions open.
RESERVED_MB, RESERVED_SESSION_MB = 150, 20


@dataclass(frozen=True)
class Program:
    """What an engine's process runs: its command, what is set in its environment, and its cost in MB of PSS."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    cost_mb: float


def program(
    name: str, options: Header, environment: Mapping[str, str], *, cost_mb: float, seats: int
) -> Program:
    """The engine *name* of `app.engine_process`, with a hard bound on what it may allocate."""
    limit_mb = round(cost_mb + RESERVED_MB + RESERVED_SESSION_MB * seats)
    given = json.dumps({**options, "data_limit_mb": limit_mb})
    return Program((sys.executable, "-m", "app.engine_process", name, given), environment, cost_mb)
