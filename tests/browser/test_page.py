"""The page in a real browser: what these files start, the `.test.js` beside them try."""

import os
import shutil
import subprocess
import sys

import pytest

from app.config import PROJECT

from ..recordings import AUSTEN, AUSTEN_SHORT, recorded_as
from ..server import Server

BROWSER = PROJECT / "tests" / "browser"
pytestmark = pytest.mark.skipif(
    not (shutil.which("npm") and shutil.which("chromium")), reason="Node and Chromium are not on this machine"
)


def run(file, tmp_path, server, **environment):
    """Run the tests in *file* against *server*, with a recording as the browser's microphone."""
    microphone = tmp_path / "microphone.wav"
    microphone.write_bytes(recorded_as("wav_stereo_48k", AUSTEN_SHORT))
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", file],
        cwd=BROWSER,
        env={
            **os.environ,
            "BASE_URL": server.url,
            "RECORDING": str(AUSTEN_SHORT.path),
            "LONGER": str(AUSTEN.path),
            "MICROPHONE": str(microphone),
            "PYTHON": sys.executable,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_the_page_does_what_it_says(tmp_path):
    with Server(
        TTS_ENGINE="espeak", TTS_CACHE_MB="0", ENGINE_IDLE_SECONDS="4", MEMORY_BUDGET_MB="512"
    ) as server:
        run("page.test.js", tmp_path, server)


def test_the_page_asks_for_a_key_where_one_is_needed(tmp_path):
    with Server(API_KEYS="open-sesame", TTS_ENGINE="espeak", TTS_CACHE_MB="0") as server:
        run("keys.test.js", tmp_path, server, API_KEY="open-sesame")
