"""`python -m app ...` as a user runs it: a process of its own."""

import os
import subprocess
import sys

from app.config import PROJECT

from ..processes import free_port

LIMIT_SECONDS = 120


def run(
    *words: str,
    given: bytes = b"",
    prefix: tuple[str, ...] = (),
    python: str = sys.executable,
    **environment: str,
) -> subprocess.CompletedProcess[bytes]:
    """The command, ended; texts never leave the machine, and speech is made anew."""
    offline = {"GTTS_URL": f"http://127.0.0.1:{free_port()}/", "TTS_CACHE_MB": "0"}
    return subprocess.run(
        [*prefix, python, "-m", "app", *words],
        cwd=PROJECT,
        env={**os.environ, **offline, **environment},
        input=given,
        capture_output=True,
        timeout=LIMIT_SECONDS,
    )
