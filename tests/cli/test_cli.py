"""`python -m app` itself."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from app.cli import cli

from .command import run


@pytest.mark.parametrize("words", [[], ["models"]])
def test_every_command_says_what_it_does_also_without_docstrings(words):
    for level in ("", "2"):
        done = run(*words, "--help", PYTHONOPTIMIZE=level)
        listed = done.stdout.decode().partition("Commands:\n")[2].splitlines()
        assert len(listed) >= 3
        assert all(len(line.split()) > 3 for line in listed), listed


def test_an_unknown_command_leaves_with_2_and_names_it():
    done = CliRunner().invoke(cli, ["transcrbe"])
    assert done.exit_code == 2
    assert "No such command 'transcrbe'" in done.output


def test_commands_load_no_library_of_the_engines():
    """The command beside an engine stays small: what the engine needs is the engine's."""
    heavy = "av", "numpy", "ctranslate2", "onnxruntime", "gtts", "flask"
    code = f"import sys, app.cli.engines, app.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_who_stops_reading_gets_no_traceback():
    done = run("config", prefix=("sh", "-c", '"$@" | head -n 1', "sh"))
    assert done.stdout.count(b"\n") == 1
    assert b"Traceback" not in done.stderr
