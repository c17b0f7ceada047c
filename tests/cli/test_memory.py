"""`memory`: a running service, looked at from outside."""

import re

import pytest
from click.testing import CliRunner

from app.cli import cli
from app.cli.memory import bar, sparks

from ..processes import until
from ..server import Server
from .command import ANOTHER, answering, run

NO_ADDRESS = ("localhost:8000", "ftp://localhost", "http://", "http://[::1", "http://a host", "http://host:port",
              "http://host:99999")  # fmt: skip


def test_one_look_shows_every_process_against_the_budget(server):
    until(lambda: len(server.get("/api/memory").json["service"]["processes"]) == 2, "no engine runs")
    done = run("memory", server.url, "--once", MEMORY_BUDGET_MB="512")
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith(server.url)
    assert [line.split()[0] for line in lines[1:5]] == ["budget", "master", "web", "all"]
    assert all(float(line.split()[1]) > 5 for line in lines[1:5])
    assert done.returncode == 0


def test_the_budget_is_that_of_all_workers():
    with Server(WEB_CONCURRENCY="2", MEMORY_BUDGET_MB="900") as server:
        lines = run("memory", server.url, "--once").stdout.decode().splitlines()
    assert lines[1].startswith("budget        900.0 MB ")


def test_the_service_on_this_machines_port_is_looked_at_by_default(server):
    assert run("memory", "--once", PORT=str(server.port)).returncode == 0


def test_a_service_with_keys_wants_one():
    with Server(API_KEYS="a-key-of-some-length") as server:
        refused = run("memory", server.url, "--once")
        assert refused.returncode == 1
        assert b"answers 401" in refused.stderr
        assert b"--api-key or API_KEY" in refused.stderr
        assert run("memory", server.url, "--once", API_KEY="a-key-of-some-length").returncode == 0


@pytest.mark.parametrize(
    ("url", "status", "complaint"),
    [
        ("http://127.0.0.1:9", 1, "nothing answers"),
        *((url, 2, "is not an address") for url in NO_ADDRESS),
    ],
    ids=["nobody", *NO_ADDRESS],
)
def test_what_cant_be_looked_at_is_said(url, status, complaint):
    done = CliRunner().invoke(cli, ["memory", url, "--once"])
    assert done.exit_code == status
    assert complaint in done.output


@pytest.mark.parametrize("other", ANOTHER)
def test_another_server_is_said_to_be_none(other):
    with answering(ANOTHER[other]) as port:
        done = CliRunner().invoke(cli, ["memory", f"http://127.0.0.1:{port}", "--once"])
    assert done.exit_code == 1
    complaint = "nothing answers at" if other == "nothing" else "is not this service"
    assert re.fullmatch(rf"Error: .*{complaint}.*\n", done.output)


def test_bars_and_columns_keep_within_their_place():
    assert bar(0, 512) == "·" * 40
    assert bar(256, 512) == "█" * 20 + "·" * 20
    assert bar(900, 512) == "█" * 40
    assert sparks([0, 256, 511, 900], 512) == "▁▅██"
