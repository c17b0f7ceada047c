"""How many files of `app/` a request enters in the web worker: a way that grows is a way that nobody can follow."""

import json
import subprocess
import sys

import pytest

from app.config import PROJECT
from benchmarks.walk import WAYS


@pytest.fixture(scope="module")
def files():
    """Those that each kind of request enters; counted in another process, which is traced."""
    command = [sys.executable, "-m", "benchmarks.walk", "--json"]
    return json.loads(
        subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, timeout=300).stdout
    )


@pytest.mark.parametrize("kind", [kind for kind, (most, _) in WAYS.items() if most is not None])
def test_a_request_enters_few_files(files, kind):
    most = WAYS[kind][0]
    assert 5 < len(files[kind]) <= most, f"{kind} enters {len(files[kind])} files: {', '.join(files[kind])}"
