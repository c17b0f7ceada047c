"""What tests rest on: waiting has an end, helpers' asserts hold, nothing of this machine is seen."""

import importlib
import os
import subprocess
import sys
import time

import pytest

from .conftest import KEPT
from .processes import PORTS, children, free_port, has_ended, until


def test_waiting_in_vain_ends_and_says_what_for():
    with pytest.raises(AssertionError, match=r"waited 0\.1 s in vain: the moon\nit is new"):
        until(lambda: False, "the moon", 0.1, said=lambda: "it is new")


def test_what_was_looked_for_is_found():
    looks = iter([None, 0, "", "it"])
    assert until(lambda: next(looks), "it") == "it"


def test_asserts_of_helpers_hold_under_pythonoptimize_too():
    """Python leaves them out there, unless pytest has rewritten them."""
    for name in (
        "jobs.fleet.machines",
        "hostile.client",
        "chaos.ordeal",
        "recordings",
        "server",
        "processes",
    ):
        importlib.import_module(f"tests.{name}")
    helpers = {name: module for name, module in sys.modules.items() if name.startswith("tests.")}
    plain = [name for name, module in helpers.items() if "Rewriting" not in type(module.__loader__).__name__]
    assert [name for name in plain if sys.modules[name].__file__.rpartition("/")[2] != "__init__.py"] == []


def test_the_environment_is_that_of_every_machine():
    ours = {"HOME", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "KOKORO", "OPENBLAS_NUM_THREADS"}
    named = {name for name, value in os.environ.items() if value and not name.startswith(KEPT)}
    assert named - {"WEB_CONCURRENCY"} == ours  # that one where there is a .env
    assert time.localtime(0)[3:5] == (5, 45)


def test_a_free_port_is_below_those_of_outgoing_connections_and_given_once():
    found = [free_port() for _ in range(200)]
    assert all(20_000 <= port < 32_000 for port in found)
    assert set(found) <= set(PORTS)
    assert len(set(found)) == 200


def test_a_process_has_ended_when_it_is_a_zombie_or_gone():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert not has_ended(process.pid)
        process.stdin.close()
        until(lambda: has_ended(process.pid), "it ends")
        assert process.pid in children(os.getpid())  # nobody has taken note of it
    assert has_ended(process.pid)
