"""Figures agree with the kernel's, and memory that is given back is gone."""

import os
import subprocess
import sys

import pytest

from app import memory


def test_this_process_weighs_something_and_pss_lies_between_uss_and_rss():
    own = memory.footprint()
    assert 1 < own.uss_mb <= own.pss_mb <= own.rss_mb


def test_a_process_that_has_ended_has_no_footprint():
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(ProcessLookupError):
        memory.footprint(ended.pid)


def test_a_service_is_its_whole_tree_with_roles():
    script = (
        "import subprocess, sys;"
        "engine = subprocess.Popen([sys.executable, '-c', 'input()', 'app.engine_process', 'whisper'],"
        " stdin=subprocess.PIPE);"
        "print(engine.pid, flush=True); input(); engine.communicate()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        engine = int(parent.stdout.readline())
        found = {process.pid: process.role for process in memory.service(os.getpid())}
        assert (found[os.getpid()], found[parent.pid], found[engine]) == ("web", "web", "whisper")
        assert memory.service(parent.pid)[0].role == "master"
        parent.communicate("\n")


def test_freed_heap_goes_back_to_the_system():
    script = (
        "from app import memory\n"
        "blocks = [bytes(1000) for _ in range(40000)]\n"
        "blocks = blocks[-1:]\n"  # the last one holds the top of the heap: free() alone returns nothing
        "print(memory.after_request(1, 10_000), memory.after_request(10_000, 20_000), memory.after_request(1, 2))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]


def test_a_throttle_is_open_once_in_its_time(clock):
    time_to_look = memory.Throttle(0.1, clock)
    assert [time_to_look(), time_to_look()] == [True, False]
    clock.advance(0.1)
    assert [time_to_look(), time_to_look()] == [True, False]
