"""An engine starts before it is asked: when somebody says that a recording is about to come, or its head is here."""

import contextlib
import socket

import pytest

from ..likeness import understood
from ..processes import until
from ..recordings import AUSTEN_SHORT
from ..server import Server, form

VOICE = "/api/v1/pam/voice"
LARGE = bytes(200_000)  # no audio, and more than what comes with a head


@pytest.fixture
def server():
    # An upload pauses here until an engine is warm, however long that takes.
    with Server(ENGINE_IDLE_SECONDS="60", CLIENT_IDLE_SECONDS="120", TTS_ENGINE="espeak") as server:
        yield server


def states(server):
    return {
        one["model"]: one["state"]
        for one in server.get("/api/memory").json["budget"]["engines"]
        if one["model"]
    }


def starts(server):
    lines = server.get("/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("engine_starts_total{"))


def test_who_says_that_a_recording_will_come_finds_the_engine_there(server):
    for _ in range(3):  # it is started once
        assert server.post(f"{VOICE}/warm").json["model"] == "tiny.en"
    until(lambda: states(server)["tiny.en"] == "idle", "the engine is warm")
    assert understood(
        server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes()).json["text"], AUSTEN_SHORT.text
    )
    assert starts(server) == 1


def test_what_will_be_spoken_may_be_said(server):
    assert server.post(f"{VOICE}/warm", {"language": "German"}).json["model"] == "base"
    until(lambda: states(server)["base"] == "idle", "the engine is warm")
    assert states(server)["tiny.en"] == "stopped"
    refused = server.post(f"{VOICE}/warm", {"model": "small-talk"})
    assert (refused.status, refused.error["code"]) == (404, "model_not_found")
    refused = server.post(f"{VOICE}/warm", {"language": "klingon"})
    assert (refused.status, refused.error["param"]) == (400, "language")


@pytest.mark.parametrize(
    ("path", "texts", "model"),
    [
        (f"{VOICE}/transcribe", {}, "tiny.en"),
        (f"{VOICE}/transcribe", {"language": "de"}, "base"),
        pytest.param(VOICE, {"task": "translate"}, "base", marks=pytest.mark.long),
        pytest.param("/v1/audio/transcriptions", {"model": "base"}, "base", marks=pytest.mark.long),
        ("/v1/audio/transcriptions", {"model": "whisper-1", "languages[]": "fr"}, "base"),
        pytest.param("/v1/audio/translations", {"model": "whisper-1"}, "base", marks=pytest.mark.long),
    ],
)
def test_the_engine_starts_while_the_upload_is_still_on_its_way(server, path, texts, model):
    body, kind = form(LARGE, field="file", **texts)
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    with contextlib.closing(socket.create_connection(("127.0.0.1", server.port))) as connection:
        connection.sendall(head.encode() + body[:4000])
        until(lambda: states(server)[model] == "idle", "its engine is warm")
        other = "base" if model == "tiny.en" else "tiny.en"
        assert states(server)[other] == "stopped"
        connection.sendall(body[4000:])
        assert connection.recv(12) == b"HTTP/1.1 400"


def test_a_recording_that_becomes_a_job_warms_nothing(server):
    job = server.request(
        "POST", f"{VOICE}/transcribe", LARGE, {"Prefer": "respond-async", "Content-Type": "audio/wav"}
    )
    assert job.status == 202
    until(lambda: server.get(job.headers["Location"]).json["state"] == "failed", "the job has ended")
    assert starts(server) == 1, "the job's own"
