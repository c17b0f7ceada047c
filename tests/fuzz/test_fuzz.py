"""The seeds; and each group of parsers fuzzed, side by side: the same inputs each time, or FUZZ_SECONDS of new ones."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from app.config import PROJECT

from . import targets

SECONDS = int(os.environ.get("FUZZ_SECONDS", "0"))
LIMIT_SECONDS = 1800


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory) -> dict[str, tuple[int, str]]:
    """How the fuzzing of each group ended, and what it wrote."""
    running = {}
    environment = {**os.environ, "PYTHONOPTIMIZE": "", "PYTHONHASHSEED": "0"}  # the targets assert
    seed = [] if SECONDS else ["1"]
    for group in targets.GROUPS:
        place = tmp_path_factory.mktemp(group)
        log = (place / "log").open("w+")
        command = [sys.executable, "-m", "tests.fuzz", group, str(SECONDS), str(place), *seed]
        running[group] = (
            log,
            subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=subprocess.STDOUT),
        )
    found = {}
    for group, (log, process) in running.items():
        try:
            status = process.wait(SECONDS + LIMIT_SECONDS)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        found[group] = status, log.read()
        log.close()
    return found


@pytest.mark.long
@pytest.mark.parametrize("group", targets.GROUPS)
def test_nothing_but_refusals_comes_of_any_input(group, fuzzed):
    status, said = fuzzed[group]
    assert status == 0, said[-6000:]


@pytest.mark.long
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python"
)
@pytest.mark.parametrize("group", targets.GROUPS)
def test_it_was_guided_and_did_not_stand_still(group, fuzzed):
    """Inputs that reached something new were found beside the seeds."""
    _, said = fuzzed[group]
    runs = re.search(r"number_of_executed_units: (\d+)", said)
    added = re.search(r"new_units_added: +(\d+)", said)
    assert runs, said[-2000:]
    assert int(runs[1]) > 200
    assert added, said[-2000:]
    assert int(added[1]) > 10


@pytest.mark.parametrize("group", targets.GROUPS)
def test_each_seed_is_taken(group):
    for seed in targets.seeds(group):
        targets.run(group, seed)
