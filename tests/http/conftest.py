"""The real server as OpenAI's clients meet it."""

import pytest
from openai import OpenAI

from ..server import Server


@pytest.fixture(scope="session")
def openai_server():
    """A server whose speech stays on this machine, and is made anew each time."""
    with Server(TTS_ENGINE="espeak", TTS_CACHE_MB="0", ENGINE_IDLE_SECONDS="30") as server:
        yield server


@pytest.fixture
def client(openai_server):
    """The official client, which repeats nothing by itself."""
    with OpenAI(base_url=f"{openai_server.url}/v1", api_key="anything", max_retries=0) as client:
        yield client
