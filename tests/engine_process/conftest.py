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
    """The directory of tiny.en as it is published, for the libraries this service is compared with."""
    return fetch.fetch("tiny.en", PROJECT / "models" / "faster-whisper", whole=True)


@pytest.fixture(scope="session")
def whisper(model_dir):
    """One engine for all tests: it keeps nothing of a session."""
    engine = WhisperEngine({"model_dir": str(model_dir), "model": "tiny.en", "threads": 2})
    engine.encoder.encode(np.zeros((1, 80, 100), np.float32))  # its threads are the session's, not a test's
    return engine
