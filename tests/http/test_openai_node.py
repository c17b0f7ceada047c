"""OpenAI's client for Node against the real server."""

import os
import shutil
import subprocess

import pytest

from app.config import PROJECT

from ..recordings import AUSTEN_SHORT

NODE = PROJECT / "tests" / "node"
node = pytest.mark.skipif(shutil.which("npm") is None, reason="Node is not installed on this machine")


def run(command, directory, **environment):
    done = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@node
def test_the_node_client_works(openai_server):
    run(
        ["node", "--test"], NODE,
        BASE_URL=f"{openai_server.url}/v1", RECORDING=str(AUSTEN_SHORT.path),
    )  # fmt: skip
