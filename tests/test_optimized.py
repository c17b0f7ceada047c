"""
As hosts run it: PYTHONOPTIMIZE=2 takes docstrings and asserts away, and nothing in `app/` may depend on them.

`make test-all` runs most other tests under it, too.
"""

import ast

import pytest

from app.cli import cli
from app.config import PROJECT

from .cli.command import run
from .processes import free_port
from .recordings import AUSTEN_SHORT
from .server import Server
from .test_smoke import smoke

NEEDS_DOCSTRINGS = {"__doc__", "__debug__", "getdoc"}


@pytest.fixture(scope="module")
def optimized(tmp_path_factory):
    data = str(tmp_path_factory.mktemp("data"))
    with Server(PYTHONOPTIMIZE="2", TTS_ENGINE="espeak", DATA_DIR=data) as server:
        yield server


def test_every_route_works(optimized):
    done = smoke(optimized.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " ok, 0 failed, " in done.stdout


COMMANDS = {
    "config": (["config"], b"WEB_THREADS"),
    "doctor": (["doctor", "--try"], b"understood"),
    "memory": (["memory", "URL", "--once"], b"budget"),
    "models": (["models", "list"], b"tiny.en"),
    "speak": (["speak", "Hello.", "-o", "-", "-f", "wav", "--engine", "espeak"], b"RIFF"),
    "transcribe": (["transcribe", str(AUSTEN_SHORT.path), "-f", "json"], b'"segments"'),
    "voices": (["voices", "list", "en"], b"espeak:en"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_works(name, optimized):
    words, told = COMMANDS[name]
    done = run(
        *[optimized.url if word == "URL" else word for word in words],
        PYTHONOPTIMIZE="2",
        TTS_ENGINE="espeak",
        PORT=str(free_port()),  # doctor would complain of whatever else listens on the usual one
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert told in done.stdout


def test_no_command_is_left_out():
    assert set(COMMANDS) == set(cli.commands)


def depends(tree):
    """What in *tree* is gone under PYTHONOPTIMIZE=2, by its line."""
    for node in ast.walk(tree):
        name = getattr(node, "attr", getattr(node, "id", ""))
        if isinstance(node, ast.Assert) or name in NEEDS_DOCSTRINGS:
            yield node.lineno


def test_nothing_depends_on_asserts_or_docstrings():
    found = [
        f"{path.relative_to(PROJECT)}:{line}"
        for path in sorted((PROJECT / "app").rglob("*.py"))
        for line in depends(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "code", ["assert x", "print(f.__doc__)", "inspect.getdoc(f)", "x = __doc__", "if __debug__: pass"]
)
def test_what_does_is_found(code):
    """Else the search would prove nothing."""
    assert list(depends(ast.parse(code))) == [1]
