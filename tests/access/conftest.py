"""Connections to Redis are closed with the test: redis-py's are parts of a circle, which warns when it is collected."""

import pytest
import redis


@pytest.fixture(autouse=True)
def closed_connections(monkeypatch):
    clients = []

    def from_url(url, **options):
        clients.append(redis.Redis(connection_pool=redis.ConnectionPool.from_url(url, **options)))
        return clients[-1]

    monkeypatch.setattr(redis.Redis, "from_url", from_url)
    yield
    for client in clients:
        client.connection_pool.disconnect()
