"""OpenAI's client for Node, and the programs printed in the documents, against the real server."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from app.config import PROJECT

from ..likeness import understood
from ..recordings import AUSTEN_SHORT, recorded_as

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


def printed(language):
    """The programs in the documents, by where they stand."""
    found = []
    for document in ("README.md", "docs/openai.md"):
        blocks = re.findall(rf"```{language}\n(.*?)```", (PROJECT / document).read_text(), re.DOTALL)
        found += [
            pytest.param(block, id=f"{document}-{number}")
            for number, block in enumerate(block for block in blocks if "localhost:8000/v1" in block)
        ]
    return found


def works_as_printed(command, program, tmp_path, server):
    (tmp_path / "recording.webm").write_bytes(recorded_as("webm_chrome"))
    program.write_text(program.read_text().replace("http://localhost:8000", server.url))
    assert understood(run(command, tmp_path), AUSTEN_SHORT.text)
    if "hello.mp3" in program.read_text():
        assert (tmp_path / "hello.mp3").stat().st_size > 1000


@pytest.mark.parametrize("text", printed("python"))
def test_a_python_program_in_the_documents_works_as_printed(text, tmp_path, openai_server):
    program = tmp_path / "program.py"
    program.write_text(text)
    works_as_printed([sys.executable, program], program, tmp_path, openai_server)


@node
@pytest.mark.parametrize("text", printed("js"))
def test_a_node_program_in_the_documents_works_as_printed(text, tmp_path, openai_server):
    program = tmp_path / "program.mjs"
    program.write_text(text)
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    works_as_printed(["node", program], program, tmp_path, openai_server)


def test_the_documents_have_a_program_for_each(openai_server):
    assert printed("python")
    assert printed("js")
