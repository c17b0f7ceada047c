"""Limits are read from either version's files; the files are made here, in the kernel's own format."""

import pytest

from app import cgroup


@pytest.fixture
def membership(tmp_path):
    def write(text):
        path = tmp_path / "membership"
        path.write_text(text)
        return path

    return write


def make(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_version_2_takes_the_smallest_limit_on_the_way_up(tmp_path, membership):
    make(
        tmp_path,
        {
            "dyno/memory.max": "536870912\n",
            "dyno/web/memory.max": "max\n",
            "dyno/web/memory.current": "1000\n",
            "dyno/web/memory.events": "low 0\noom 2\noom_kill 1\n",
        },
    )
    found = cgroup.memory_group(tmp_path, membership("0::/dyno/web\n"))
    assert found == cgroup.MemoryGroup(limit_bytes=536870912, usage_bytes=1000, oom_kills=1)


def test_version_1_takes_the_hierarchical_limit(tmp_path, membership):
    make(
        tmp_path,
        {
            "memory/dyno/memory.stat": "cache 5\nhierarchical_memory_limit 268435456\n",
            "memory/dyno/memory.usage_in_bytes": "2000\n",
            "memory/dyno/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        },
    )
    found = cgroup.memory_group(tmp_path, membership("7:memory:/dyno\n0::/\n"))
    assert found == cgroup.MemoryGroup(limit_bytes=268435456, usage_bytes=2000, oom_kills=3)


def test_in_a_container_the_hosts_path_is_the_root_here(tmp_path, membership):
    make(
        tmp_path,
        {
            "memory/memory.stat": "hierarchical_memory_limit 9223372036854771712\n",
            "memory/memory.usage_in_bytes": "2000\n",
            "memory/memory.oom_control": "under_oom 0\n",
        },
    )
    found = cgroup.memory_group(tmp_path, membership("7:memory:/docker/0123abcd\n"))
    assert found == cgroup.MemoryGroup(limit_bytes=None, usage_bytes=2000, oom_kills=0)


def test_no_group_is_none(tmp_path, membership):
    assert cgroup.memory_group(tmp_path, membership("0::/\n")) is None
    assert cgroup.memory_group(tmp_path, tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("0::/dyno\n", {"dyno/cpu.max": "100000 100000\n", "cpu.max": "max 100000\n"}),
        (
            "3:cpu,cpuacct:/dyno\n",
            {"cpu/dyno/cpu.cfs_quota_us": "100000\n", "cpu/dyno/cpu.cfs_period_us": "100000\n"},
        ),
        ("0::/dyno\n", {"dyno/cpu.max": "20000 100000\n"}),
    ],
)
def test_a_quota_bounds_the_processors(tmp_path, membership, line, files):
    make(tmp_path, files)
    assert cgroup.processors(tmp_path, membership(line)) == 1


def test_without_a_quota_the_affinity_counts(tmp_path, membership):
    import os

    assert cgroup.processors(tmp_path, membership("")) == len(os.sched_getaffinity(0))
