"""Settings are typed, checked, and their problems reported in one message."""

import os
import subprocess
import sys

import pytest

from app.config import PROJECT, ConfigError, Settings, example, without_secrets


def test_an_empty_environment_gives_the_defaults():
    assert vars(Settings.from_env({})) == vars(Settings())


def test_values_are_read_as_their_types():
    settings = Settings.from_env({"PORT": " 9000 ", "DISABLE_LOCAL_WHISPER": "True", "WHISPER_MODEL": "base"})
    assert (settings.port, settings.disable_local_whisper, settings.whisper_model) == (9000, True, "base")


@pytest.mark.parametrize("platform", [{"RENDER": "true"}, {"DYNO": "web.1"}])
def test_behind_the_router_of_a_host_one_is_trusted_unless_it_is_set(platform):
    assert Settings.from_env({}).trusted_proxies == 0
    assert Settings.from_env(platform).trusted_proxies == 1
    assert Settings.from_env({**platform, "TRUSTED_PROXIES": "0"}).trusted_proxies == 0


def test_an_empty_value_counts_as_not_set():
    assert Settings.from_env({"PORT": ""}).port == 8000


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("ON", True), ("1", True), ("off", False), ("0", False)]
)
def test_booleans_are_read_in_every_usual_spelling(text, value):
    assert Settings.from_env({"DISABLE_LOCAL_WHISPER": text}).disable_local_whisper is value


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("PORT", "eighty", "is not a whole number"),
        ("PORT", "70000", "is more than 65535"),
        ("WEB_CONCURRENCY", "0", "is less than 1"),
        ("DISABLE_LOCAL_WHISPER", "maybe", "is neither true nor false"),
        ("LOG_LEVEL", "loud", "is none of debug, info, warning, error"),
        ("ENGINE_SEATS", "24", "must be less than WEB_THREADS"),
        ("OPENAI_BASE_URL", "api.example.com", "must start with http"),
    ],
)
def test_an_unusable_value_is_named_with_what_is_wrong(name, text, complaint):
    with pytest.raises(ConfigError, match=rf"{name}: .*{complaint}"):
        Settings.from_env({name: text})


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError, match=r"PORT: .*; LOG_LEVEL: "):
        Settings.from_env({"PORT": "x", "LOG_LEVEL": "x"})


def test_the_example_file_is_what_the_settings_print():
    assert (PROJECT / ".env.example").read_text() == example()


def test_every_setting_has_a_line_of_help():
    import dataclasses

    assert all(field.metadata["help"] for field in dataclasses.fields(Settings))


def test_an_unusable_value_stops_the_boot():
    served = subprocess.run(
        [sys.executable, "-m", "gunicorn", "wsgi:app"],
        cwd=PROJECT,
        env={**os.environ, "PORT": "eighty", "LOG_LEVEL": "loud"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert served.returncode != 0
    assert "PORT: 'eighty' is not a whole number; LOG_LEVEL: 'loud'" in served.stderr


def test_other_processes_are_not_told_secrets():
    told = without_secrets(
        {"API_KEYS": "a", "REDIS_URL": "redis://:b@host", "WHISPER_MODEL": "base", "HOME": "/"}
    )
    assert told == {"WHISPER_MODEL": "base", "HOME": "/"}


@pytest.mark.parametrize(
    ("threads", "asked", "most"), [(24, 4, 4), (24, 99, 10), (8, 4, 2), (4, 4, 1), (2, 4, 0), (24, 0, 0)]
)
def test_live_sessions_leave_threads_for_others(threads, asked, most):
    assert Settings(web_threads=threads, realtime_sessions=asked).live_sessions_here == most


def test_more_live_sessions_than_threads_have_room_for_are_no_setting():
    with pytest.raises(ConfigError, match="REALTIME_SESSIONS: 21 is more than 20"):
        Settings.from_env({"REALTIME_SESSIONS": "21", "WEB_CONCURRENCY": "2"})
    assert Settings.from_env({"REALTIME_SESSIONS": "20", "WEB_CONCURRENCY": "2"}).live_sessions_here == 10
    assert (
        Settings.from_env({"WEB_THREADS": "4", "ENGINE_SEATS": "2"}).live_sessions_here == 1
    )  # the default gives way
