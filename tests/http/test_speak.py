"""Speech over HTTP: what the headers of the answer say is so."""

import struct

import pytest

from ..processes import until
from ..server import Server

SPEAK = "/api/v1/pam/voice/speak"


@pytest.fixture(scope="module")
def server():
    with Server(TTS_ENGINE="espeak", TTS_CACHE_MB="0", CORS_ORIGINS="https://app.example.com") as server:
        yield server


@pytest.mark.parametrize("stream", [False, "false", "0"])
def test_a_wave_that_is_not_streamed_says_its_true_length(server, stream):
    answer = server.post(SPEAK, {"text": "One. Two. Three.", "format": "wav", "stream": stream})
    riff, data = struct.unpack_from("<I", answer.body, 4)[0], struct.unpack_from("<I", answer.body, 40)[0]
    assert int(answer.headers["Content-Length"]) == len(answer.body) == riff + 8 == data + 44
    rate = struct.unpack_from("<I", answer.body, 24)[0]
    assert float(answer.headers["X-Audio-Duration"]) == pytest.approx(data / 2 / rate, abs=0.01)
    assert not answer.headers["ETag"].startswith("W/")


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "pcm"])
def test_every_format_has_its_length_when_it_is_not_streamed(server, format):
    answer = server.post(SPEAK, {"text": "Hello.", "format": format, "stream": False})
    assert int(answer.headers["Content-Length"]) == len(answer.body) > 0


@pytest.mark.parametrize("format", ["wav", "mp3"])
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_not_spoken_is_told(server, stream, format):
    text = "Before.\n\n```py\nprint(1)\n```\n\nSee https://example.com/a/b."
    answer = server.post(
        SPEAK, {"text": text, "format": format, "stream": stream}, Origin="https://app.example.com"
    )
    assert answer.headers["X-TTS-Skipped"] == "code=6, address=2"
    assert "X-TTS-Skipped" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    ("text", "voice", "skipped"),
    [
        ("你好，世界", "espeak:cmn", None),
        ("The word 你好 means hello.", "espeak:en", None),
        ("A word of Tibetan: བོད", "espeak:en", "tibetan=2"),
    ],
)
def test_another_script_is_spoken_or_said_to_be_left_out(server, text, voice, skipped):
    answer = server.post(SPEAK, {"text": text})
    assert (answer.status, answer.headers["X-TTS-Voice"]) == (200, voice)
    assert answer.headers["X-TTS-Skipped"] == skipped


def test_a_script_nobody_can_say_is_refused(server):
    answer = server.post(SPEAK, {"text": "བོད་སྐད"})
    assert (answer.status, answer.error["param"]) == (400, "language")
    assert "tibetan" in answer.error["message"]


def test_a_job_tells_what_is_not_spoken_too(server):
    job = server.post(SPEAK, {"text": "A word of Tibetan: བོད"}, Prefer="respond-async").json
    path = f"/api/v1/pam/voice/jobs/{job['id']}"
    until(lambda: server.get(path).json["state"] == "succeeded", "the job has succeeded")
    assert server.get(path).json["result"]["skipped"] == "tibetan=2"
    assert server.get(f"{path}/result").headers["X-TTS-Skipped"] == "tibetan=2"


def test_what_is_all_spoken_has_nothing_to_tell(server):
    answer = server.post(SPEAK, {"text": "Hello 👍 — all of *this* is said: 1, 2."})
    assert "X-TTS-Skipped" not in answer.headers


def test_speech_is_streamed_unless_it_is_asked_not_to_be(server):
    answer = server.post(SPEAK, {"text": "Hello.", "format": "wav"})
    assert "Content-Length" not in answer.headers


def test_the_headers_are_described(server):
    paths = server.get("/openapi.json").json["paths"]
    for path in (SPEAK, "/v1/audio/speech"):
        assert (
            "tibetan=2" in paths[path]["post"]["responses"]["200"]["headers"]["X-TTS-Skipped"]["description"]
        )


def test_what_is_no_flag_is_refused(server):
    answer = server.post(SPEAK, {"text": "Hello.", "stream": "perhaps"})
    assert (answer.status, answer.error["param"]) == (400, "stream")
