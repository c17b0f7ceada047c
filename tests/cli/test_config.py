"""`config`: what is set, from where, and nothing that must stay secret."""

import json

import pytest
from click.testing import CliRunner

from app.cli import cli
from app.cli.config import effective, masked
from app.config import PROJECT, Settings

from .command import run

NO_ENV_FILE = pytest.mark.skipif((PROJECT / ".env").exists(), reason="a .env of this checkout is shown, too")


@NO_ENV_FILE
def test_every_setting_is_shown_with_where_it_comes_from():
    done = run("config", "--json", WHISPER_MODEL="base", API_KEYS="one-secret-key")
    shown = json.loads(done.stdout)
    assert set(shown) == {name.upper() for name in Settings.__dataclass_fields__}
    assert shown["WHISPER_MODEL"] == {"value": "base", "from": "environment"}
    assert shown["PORT"]["from"] == "default"
    assert b"one-secret-key" not in done.stdout


@NO_ENV_FILE
def test_those_that_differ_can_be_had_alone():
    done = run("config", "--changed", WHISPER_MODEL="base")
    lines = done.stdout.decode().splitlines()
    assert "WHISPER_MODEL=base  # environment" in lines
    assert not any(line.startswith("WEB_THREADS") for line in lines)


@NO_ENV_FILE
def test_what_a_host_decides_is_told_from_the_default():
    (proxies,) = [found for found in effective(Settings(trusted_proxies=3)) if found[0] == "TRUSTED_PROXIES"]
    assert proxies == ("TRUSTED_PROXIES", "3", "host")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", ""),
        ("redis://user:password@host:6379/0", "redis://***@host:6379/0"),
        ("https://abc123@o1.ingest.sentry.io/42", "https://***@o1.ingest.sentry.io/42"),
        ("s3://bucket/prefix?secret=abc", "s3://bucket/prefix?***"),
    ],
)
def test_of_a_secret_only_what_helps_is_shown(value, shown):
    assert masked(value) == shown


@pytest.mark.parametrize(
    ("written", "given", "shown"),
    [
        ("PORT=9000\n", None, "PORT=9000  # .env\n"),
        ("\ufeffPORT=9000\r\n", None, "PORT=9000  # .env\n"),  # as Windows' editor saves it
        ("export PORT='9000'  # ours\n", None, "PORT=9000  # .env\n"),
        ("PORT=9000\n", "9001", "PORT=9001  # environment\n"),
        ("PORT=9000\n", "", ""),  # an empty value counts as not set, also before one in the file
    ],
)
def test_the_file_counts_where_the_environment_says_nothing(written, given, shown, tmp_path, monkeypatch):
    monkeypatch.setattr("app.config.ENV_FILE", tmp_path / ".env")
    (tmp_path / ".env").write_text(written, "utf-8")
    monkeypatch.delenv("PORT", raising=False) if given is None else monkeypatch.setenv("PORT", given)
    done = CliRunner().invoke(cli, ["config", "--changed"])
    assert done.exit_code == 0
    assert "".join(line for line in done.output.splitlines(True) if line.startswith("PORT=")) == shown


@pytest.mark.parametrize("name", ["api_keys", "openai_api_key", "webhook_secret"])
@pytest.mark.parametrize("value", ["sha256:abc,plain", "that://looks/like-an-address", ""])
def test_of_a_key_nothing_is_shown(name, value):
    shown = {row[0]: row[1] for row in effective(Settings(**{name: value}))}
    assert shown[name.upper()] == ("***" if value else "")
