"""`scripts/smoke.sh` tells a service that works from one that does not."""

import os
import re
import shutil
import subprocess

import pytest

from app import create_app
from app.config import PROJECT, Settings

from .server import Server

SCRIPT = PROJECT / "scripts" / "smoke.sh"
KEY = "a-key-nobody-should-read"
SHELLS = [shell for shell in ("dash", "busybox") if shutil.which(shell)]


def smoke(url: str, *, shell: str = "sh", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [shell, "sh"] if shell == "busybox" else [shell]
    return subprocess.run(
        [*command, str(SCRIPT), url],
        env={**os.environ, "TMPDIR": environment.pop("TMPDIR", "/tmp"), **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_service_with_keys_that_works_passes_and_nothing_is_left(tmp_path):
    with Server(API_KEYS=KEY, TTS_ENGINE="espeak", DATA_DIR=str(tmp_path / "data")) as server:
        (tmp_path / "work").mkdir()
        done = smoke(f"{server.url}/", API_KEY=KEY, TMPDIR=str(tmp_path / "work"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ ok, 0 failed, \d skipped$", done.stdout, re.MULTILINE)
    assert "GET /api/memory without the key" in done.stdout
    assert "transcribe, events" in done.stdout
    assert KEY not in done.stdout + done.stderr
    assert list((tmp_path / "work").iterdir()) == []


def test_every_route_is_asked():
    script = SCRIPT.read_text().replace("$voice", "/api/v1/pam/voice")
    app = create_app(Settings(monitoring=False))
    for rule in app.url_map.iter_rules():
        if rule.endpoint != "static" and "_alias." not in rule.endpoint:
            path = re.sub(r"<[^>]+>", "[^ ]+", rule.rule)
            assert re.search(rf"(check|ask) .*{path}", script), f"smoke.sh does not ask {rule.rule}"


@pytest.mark.parametrize("shell", SHELLS)
def test_what_fails_is_named_in_every_shell(shell, tmp_path):
    """The model is missing: what transcribes fails, all else works."""
    with Server(MODEL_DIR=str(tmp_path), TTS_ENGINE="espeak", DATA_DIR=str(tmp_path / "data")) as server:
        done = smoke(server.url, shell=shell)
    failed = re.findall(r"^FAIL .*ms  (.*?):", done.stdout, re.MULTILINE)
    assert done.returncode == 1
    assert "POST /api/v1/pam/voice/transcribe" in failed
    assert "model_missing" in done.stdout
    assert not [name for name in failed if "speak" in name or "memory" in name]


@pytest.mark.parametrize(
    ("key", "said"),
    [("", "wants a key: put one of its API_KEYS into API_KEY"), ("another", "does not know the key")],
)
def test_it_stops_at_the_first_route_that_wants_a_key(key, said):
    with Server(API_KEYS=KEY) as server:
        done = smoke(server.url, API_KEY=key)
    assert done.returncode == 1
    assert said in done.stderr
    assert "heroku config:get API_KEYS" in done.stderr
    assert done.stdout.count("FAIL") == 1
    assert done.stdout.splitlines()[-1].startswith("FAIL  401")


def test_an_address_of_version_6_is_asked_as_any_other():
    with Server(HOST="::1", address="::1", MODEL_DIR="/nonexistent", TTS_ENGINE="espeak") as server:
        done = smoke(f"http://[::1]:{server.port}")
    assert "ok    200" in done.stdout.splitlines()[0]
    assert "model_missing" in done.stdout


def test_nobody_there_is_said_at_once():
    done = smoke("http://127.0.0.1:9")
    assert done.returncode == 1
    assert "nobody answers at http://127.0.0.1:9" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["localhost"], ["http://a", "http://b"]])
def test_a_wrong_command_line_leaves_with_2(arguments):
    done = subprocess.run(["sh", str(SCRIPT), *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr
