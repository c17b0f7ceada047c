import pytest

from .machines import NO_REDIS, read_aloud


@pytest.fixture(scope="session")
def redis_server(redis_server):
    """The real one; what needs it is skipped where it is not installed."""
    if redis_server is None:
        pytest.skip(NO_REDIS)
    return redis_server


@pytest.fixture
def store(redis_store):
    return redis_store


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
