import pytest

from app.jobs.fleet.store import RedisStore, connect

from .machines import Redis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A real one, for tests that do not end it."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def store(redis_server):
    """A store with nothing in it."""
    client = connect(redis_server.url)
    client.flushall()
    yield RedisStore(client)
    client.close()
