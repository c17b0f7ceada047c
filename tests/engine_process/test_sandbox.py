"""What an engine process can't do, tried from inside one."""

import json
import os
import subprocess
import sys

import pytest

from app.config import PROJECT
from app.engine_process.sandbox import DENIED, PROCESSORS, program

# Each is tried in a confined process; what it prints is the error's name, or "done".
ATTEMPTS = {
    "open a socket": "socket.socket()",
    "open a local socket": "socket.socket(socket.AF_UNIX)",
    "start a program": "subprocess.run(['/bin/true'])",
    "become a program": "os.execv('/bin/true', ['true'])",
    "signal its owner": "os.kill(os.getppid(), 0)",
    "write a file": "open(target, 'w')",
    "append to a file": "open(__file__, 'a')",
    "remove a file": "os.unlink(target)",
    "make a directory": "os.mkdir(target + 'd')",
    "have a nameless file": "os.open('/tmp', os.O_TMPFILE | os.O_RDWR)",
    "trace its owner": "trace()",
    "read a file": "open('/proc/self/status').read()",
    "start a thread": "start_thread()",
    "write to a pipe": "os.write(os.pipe()[1], b'x')",
}
PROBE = """
import ctypes, json, os, socket, subprocess, sys, threading
from app.engine_process.sandbox import confine

def trace():
    if ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0):  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), "")

def start_thread():
    thread = threading.Thread(target=print, args=("",), kwargs={"end": ""})
    thread.start()
    thread.join()

name, target, __file__, attempts = json.loads(sys.argv[1])
confine(name, None)
found = {}
for what, attempt in attempts.items():
    try:
        eval(attempt)
        found[what] = "done"
    except OSError as error:
        found[what] = type(error).__name__
found["status"] = open("/proc/self/status").read()
print(json.dumps(found))
"""


def tried(name: str, tmp_path) -> dict[str, str]:
    """What came of each attempt in a process confined as the engine *name*."""
    existing = tmp_path / "existing"
    existing.write_text("")
    given = json.dumps([name, str(tmp_path / "target"), str(existing), ATTEMPTS])
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, given],
        cwd=PROJECT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(probe.stdout)


def test_the_whisper_engine_has_no_network_starts_nothing_and_changes_no_file(tmp_path):
    found = tried("whisper", tmp_path)
    allowed = {what for what in ATTEMPTS if found[what] == "done"}
    assert allowed == {"read a file", "start a thread", "write to a pipe"}
    assert {found[what] for what in ATTEMPTS.keys() - allowed} == {"PermissionError"}
    assert not (tmp_path / "target").exists()


def test_the_speech_engine_has_its_network_and_starts_nothing(tmp_path):
    found = tried("speech", tmp_path)
    assert found["open a socket"] == "done"
    assert {found[what] for what in ("start a program", "become a program", "trace its owner")} == {
        "PermissionError"
    }


@pytest.mark.parametrize("name", DENIED)
def test_an_engine_gains_no_privileges_and_its_threads_are_filtered(name, tmp_path):
    status = dict(line.split(":", 1) for line in tried(name, tmp_path)["status"].splitlines())
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"


@pytest.mark.parametrize("name", DENIED)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_filter_stays_within_what_the_kernel_takes(name, processor):
    column, architecture, _ = PROCESSORS[processor]
    instructions = program(name, column, architecture)
    assert len(instructions) < 256  # a jump is one byte
    assert {len(instruction) for instruction in instructions} == {8}
