"""Live transcription, asked by the frameworks people build voice agents with; `programs.py` has a program for each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..http.test_realtime_clients import samples
from ..likeness import understood
from ..recordings import AUSTEN_SHORT, NEURAL
from ..server import Server

KEY = "a-key-for-live-sessions-0123456789"
PYTHON = Path(sys.prefix) / "clients" / "bin" / "python"
PROGRAMS = ["agents", "livekit", "livekit_commits"]


@pytest.fixture(scope="module")
def server():
    with Server(TTS_ENGINE="espeak", API_KEYS=KEY, ENGINE_IDLE_SECONDS="30") as server:
        yield server


@pytest.mark.long
@pytest.mark.skipif(not PYTHON.exists(), reason="requirements.txt here is not installed (make clients)")
@pytest.mark.parametrize("clip", [AUSTEN_SHORT, NEURAL], ids=lambda clip: clip.name)
@pytest.mark.parametrize("program", [*PROGRAMS, *["pipecat"] * (sys.version_info >= (3, 11))])
def test_a_framework_hears_what_is_said(program, clip, server, tmp_path):
    sound = tmp_path / "said.pcm"
    sound.write_bytes(samples(clip, pause=0).tobytes())
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("programs.py"), program, f"{server.url}/v1", KEY, sound],
        env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert understood(" ".join(json.loads(done.stdout)), clip.text), done.stdout
