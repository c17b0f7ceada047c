import shutil

import pytest

from app.jobs.fleet.store import RedisStore
from app.jobs.fleet.transactions import connect

from .machines import Redis, read_aloud

collect_ignore_glob = [] if shutil.which("redis-server") else ["test_*.py"]


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


@pytest.fixture(scope="session")
def minute(tmp_path_factory):
    """A recording of 73 seconds, in which the clips are heard three times."""
    return read_aloud(tmp_path_factory.mktemp("aloud"), 3)


@pytest.fixture(scope="session")
def four_minutes(tmp_path_factory):
    """A recording of 244 seconds, which a worker is not done with while it is told to end."""
    return read_aloud(tmp_path_factory.mktemp("aloud"), 10)


@pytest.fixture(scope="session")
def half_minute(tmp_path_factory):
    """A recording of 49 seconds, two windows, in which the clips are heard twice."""
    return read_aloud(tmp_path_factory.mktemp("aloud"), 2)
