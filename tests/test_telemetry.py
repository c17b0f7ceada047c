"""Sentry and OpenTelemetry cost nothing where they are not set up, and say what they need where they are."""

import subprocess
import sys

import pytest

from app.config import PROJECT
from tests.server import Server

IMPORTED = """
import sys
from app import create_app
from app.config import Settings
app = create_app(Settings())
app.test_client().get("/health")
app.extensions["services"].close()
print([name for name in sys.modules if name.startswith(("sentry_sdk", "opentelemetry"))])
"""


def test_nothing_is_imported_without_the_settings():
    command = [sys.executable, "-c", IMPORTED]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("setting", "value", "package"),
    [
        ("SENTRY_DSN", "https://key@127.0.0.1/1", "sentry-sdk"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9", "opentelemetry-sdk"),
    ],
)
def test_a_missing_package_is_named(setting, value, package):
    with pytest.raises(AssertionError) as stopped, Server(**{setting: value}):
        pass
    assert f"{setting}: is set" in str(stopped.value)
    assert f"pip install {package}" in str(stopped.value)
    assert "key@" not in str(stopped.value)
