"""All that the page shows, in one answer."""

import re

import pytest

from ..server import Server


@pytest.fixture(scope="module", params=["true", "false"])
def watched(request):
    with Server(MONITORING=request.param, TTS_ENGINE="espeak") as server:
        server.monitoring = request.param == "true"
        yield server


def same(one, other, volatile=("uptime_seconds",)):
    """Whether two answers have the same shape, and the same texts but for the room on disks."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one.keys() - set(volatile):
            same(one[name], other[name])
    elif isinstance(one, str):
        assert re.sub(r"\d+ MB free", "", one) == re.sub(r"\d+ MB free", "", other)
    else:
        assert type(one) is type(other)


def test_it_has_what_the_single_routes_have(watched):
    status = watched.get("/api/status?with=requests&with=history").json
    same(status["health"], watched.get("/health").json)
    same(status["memory"], watched.get("/api/memory").json)
    assert status["jobs"] == []
    if watched.monitoring:
        same(status["production"].keys(), watched.get("/api/monitoring/production").json.keys())
        same(status["performance"].keys(), watched.get("/api/monitoring/performance").json.keys())
        assert status["history"][-1].keys() == watched.get("/api/memory/history").json["samples"][-1].keys()
    else:
        assert (status["performance"], status["production"], status["history"]) == (None, None, [])


def test_what_was_not_asked_for_is_not_there(watched):
    assert watched.get("/api/status").json.keys() == {"health", "memory"}
    assert watched.get("/api/status?with=history").json.keys() == {"health", "memory", "history"}


def test_something_else_is_refused_with_what_is_accepted(watched):
    assert "any of requests, history" in watched.get("/api/status?with=everything").error["message"]
    assert watched.get("/api/status?with=history&window=2d").error["param"] == "window"


def test_the_newest_jobs_are_those_of_who_asks():
    with Server(API_KEYS="first-key-0123456789,second-key-0123456789", TTS_ENGINE="espeak") as server:
        first, second = ({"X-API-Key": f"{name}-key-0123456789"} for name in ("first", "second"))
        made = server.request("POST", "/api/v1/pam/voice/jobs", '{"text": "Hello."}', first).json
        assert [job["id"] for job in server.get("/api/status?with=requests", **first).json["jobs"]] == [
            made["id"]
        ]
        assert server.get("/api/status?with=requests", **second).json["jobs"] == []
        assert server.get("/api/status").status == 401
