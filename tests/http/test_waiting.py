"""Who can't be begun in time is told so, with the real server and model."""

import contextlib
import http.client

import pytest

from ..recordings import AUSTEN_SHORT
from ..server import Server
from .test_openai_audio import long_wav

VOICE = "/api/v1/pam/voice"


@pytest.fixture(scope="module")
def busy():
    """A server at work on 25 minutes of speech for a client that waits as long as that takes."""
    with (
        Server(ENGINE_IDLE_SECONDS="30", MAX_UPLOAD_MB="100") as server,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection,
    ):
        patient = {"Content-Type": "audio/wav", "Prefer": "wait=3600"}
        connection.request("POST", f"{VOICE}/transcribe", long_wav(1500), patient)
        yield server


@pytest.fixture(scope="module")
def longer():
    """A recording that comes after that."""
    return long_wav(1600)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"{VOICE}/transcribe", {"Prefer": "wait=1"}),
        (VOICE, {"Prefer": 'return=minimal, wait="1"'}),
        ("/v1/audio/transcriptions?model=whisper-1", {"X-Stainless-Read-Timeout": "1.5"}),
    ],
)
def test_a_long_recording_behind_another_is_refused_with_what_to_do_instead(busy, longer, path, headers):
    answer = busy.request("POST", path, longer, {"Content-Type": "audio/wav", **headers})
    assert (answer.status, answer.error["code"]) == (503, "queue_full")
    assert "Prefer: respond-async" in answer.error["message"]
    assert "Prefer: wait=SECONDS" in answer.error["message"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["X-Should-Retry"] == "true"


def test_what_the_refusal_offers_is_accepted(busy, longer):
    headers = {"Content-Type": "audio/wav", "Prefer": "respond-async, wait=1"}
    answer = busy.request("POST", f"{VOICE}/transcribe", longer, headers)
    assert answer.status == 202
    busy.request("DELETE", answer.headers["Location"])


def test_a_short_recording_goes_first(busy):
    """It is done while the long one, which came before it, still runs."""
    assert busy.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes()).status == 200
    engines = busy.get("/api/memory").json["budget"]["engines"]
    assert next(engine["seats_taken"] for engine in engines if engine["name"] == "whisper") == 1


def test_refusals_are_counted(busy):
    series = 'engine_refusals_total{engine="whisper",reason="queue_full"}'
    counted = [line for line in busy.get("/metrics").body.decode().splitlines() if line.startswith(series)]
    assert float(counted[0].split()[-1]) >= 3
