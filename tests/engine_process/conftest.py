"""The real model, fetched once, and the engine that runs it."""

import numpy as np
import pytest

from app.config import PROJECT
from app.engine_process.stt.whisper import WhisperEngine
from app.speech import fetch


@pytest.fixture(scope="session")
def model_dir():
    """The directory of tiny.en; `make test` has fetched it, and a bare `pytest` fetches it here."""
    return fetch.fetch("tiny.en", PROJECT / "models")


@pytest.fixture(scope="session")
def stock_dir():
    """The same with the weights as they are published, for the library this service is compared with."""
    return fetch.fetch("tiny.en", PROJECT / "models", whole=True)


@pytest.fixture(scope="session")
def whisper(model_dir):
    """One engine for all tests: it keeps nothing of a session."""
    engine = WhisperEngine({"model_dir": str(model_dir), "model": "tiny.en", "threads": 2})
    engine.encoder.encode(np.zeros((1, 80, 100), np.float32))  # its threads are the session's, not a test's
    return engine


@pytest.fixture
def upload(tmp_path):
    """Writes content to a file and gives its path."""

    def upload(content: bytes):
        path = tmp_path / "upload"
        path.write_bytes(content)
        return path

    return upload
