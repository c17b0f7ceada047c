"""SECURITY.md is true where that can be checked."""

import re

import pytest

from app.config import PROJECT, Settings
from app.http.auth import OPEN

from .server import Server

PAGE = (PROJECT / "SECURITY.md").read_text()


def test_every_test_that_is_named_exists():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    there = {
        name
        for file in (PROJECT / "tests").rglob("test_*.py")
        if "node_modules" not in file.parts
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert len(named) > 20
    assert named - there == set()


def test_every_setting_that_is_named_exists():
    named = set(re.findall(r"`([A-Z][A-Z_]{3,})(?:=\w+)?`", PAGE)) - {"OPTIONS"}
    assert named <= {name.upper() for name in Settings.__dataclass_fields__}


def test_a_secret_in_a_servers_log_is_noticed():
    """Else it would prove nothing that none was found."""
    with (
        pytest.raises(AssertionError, match="1 of the server's secrets"),
        Server(API_KEYS="a-key-that-leaks") as server,
    ):
        print("a-key-that-leaks", file=server.output, flush=True)


def test_what_is_open_is_what_the_guard_leaves_open():
    said = PAGE[PAGE.index("Everything needs a key but") : PAGE.index("A path that does not exist")]
    said_to_be_open = set(re.findall(r"`(/[\w/.]*)`", said))
    stems = {rule.partition("<")[0] for rule in OPEN}
    assert said_to_be_open <= stems
    assert all(any(stem.startswith(one) for one in said_to_be_open - {"/"}) or stem == "/" for stem in stems)
