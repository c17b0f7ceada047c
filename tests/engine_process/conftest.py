"""The real model, fetched once, and the engine that runs it."""

import pytest

from app.config import PROJECT
from app.engine_process.stt.whisper import WhisperEngine
from app.speech import fetch


@pytest.fixture(scope="session")
def model_dir():
    """The directory of tiny.en; `make test` has fetched it, and a bare `pytest` fetches it here."""
    return fetch.fetch("tiny.en", PROJECT / "models")


@pytest.fixture(scope="session")
def whisper(model_dir):
    """One engine for all tests: it keeps nothing of a session."""
    return WhisperEngine({"model_dir": str(model_dir), "model": "tiny.en", "threads": 2})
