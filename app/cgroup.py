"""What the container grants: memory and processors, from control groups version 1 or 2."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 1 << 60  # version 1 writes "no limit" as a number just below 2**63


class MemoryGroup(NamedTuple):
    """The memory control group of this process, in bytes; *limit_bytes* is None where there is none."""

    limit_bytes: int | None
    usage_bytes: int
    oom_kills: int


def memory_group(root: Path = ROOT, membership: Path = Path("/proc/self/cgroup")) -> MemoryGroup | None:
    """The figures of the group this process is in, or None where it is in none that can be read."""
    for base, group, version in _groups(root, membership, "memory"):
        try:
            if version == 2:
                return MemoryGroup(
                    limit_bytes=_least_limit(group, base),
                    usage_bytes=int((group / "memory.current").read_text()),
                    oom_kills=_keyed(group / "memory.events").get("oom_kill", 0),
                )
            limit = _keyed(group / "memory.stat")["hierarchical_memory_limit"]
            return MemoryGroup(
                limit_bytes=limit if limit < UNLIMITED_BYTES else None,
                usage_bytes=int((group / "memory.usage_in_bytes").read_text()),
                oom_kills=_keyed(group / "memory.oom_control").get("oom_kill", 0),
            )
        except (OSError, KeyError, ValueError):
            continue  # version 2's root group, for one, has no memory files
    return None


def processors(root: Path = ROOT, membership: Path = Path("/proc/self/cgroup")) -> int:
    """How many processors this process may use: its affinity, less where a group's quota grants less."""
    granted = float(len(os.sched_getaffinity(0)))
    for base, group, version in _groups(root, membership, "cpu"):
        for level in _levels(group, base):
            try:
                if version == 2:
                    quota, period = (level / "cpu.max").read_text().split()
                else:
                    quota = (level / "cpu.cfs_quota_us").read_text().strip()
                    period = (level / "cpu.cfs_period_us").read_text().strip()
            except (OSError, ValueError):
                continue
            if quota not in ("max", "-1"):
                granted = min(granted, int(quota) / int(period))
    return max(1, round(granted))


def _groups(root: Path, membership: Path, controller: str) -> list[tuple[Path, Path, int]]:
    """Where *controller* keeps its groups, this process's group there, and the version; version 1 first."""
    found: list[tuple[Path, Path, int]] = []
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            base = root / controller
            found.insert(0, (base, base / path.lstrip("/"), 1))
        elif not controllers:
            found.append((root, root / path.lstrip("/"), 2))
    # Inside a container the path may be the host's, and its group is the root here.
    return [(base, group if group.is_dir() else base, version) for base, group, version in found]


def _least_limit(group: Path, base: Path) -> int | None:
    """The smallest `memory.max` of *group* and the groups it is inside."""
    limits = []
    for level in _levels(group, base):
        with contextlib.suppress(OSError, ValueError):  # the root has no such file; "max" is no number
            limits.append(int((level / "memory.max").read_text()))
    return min(limits, default=None)


def _levels(group: Path, base: Path) -> list[Path]:
    """*group*, and the groups it is inside."""
    return [group, *(parent for parent in group.parents if parent.is_relative_to(base))]


def _keyed(path: Path) -> dict[str, int]:
    """A file of lines `name number`."""
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
