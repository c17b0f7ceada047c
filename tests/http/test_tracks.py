"""Films and tracks through the service: which track is heard, at which times, and where subtitles end."""

import numpy as np
import pytest
import srt

from app.engine_process.stt.decode import decode
from tests.likeness import understood
from tests.recordings import AUSTEN_SHORT, NEURAL, Track, muxed, wav
from tests.server import Server

TRANSCRIBE, OPENAI = "/api/v1/pam/voice/transcribe", "/v1/audio/transcriptions"
SHORT, MORE = (np.concatenate(list(decode(str(clip.path), 60))) for clip in (AUSTEN_SHORT, NEURAL))


@pytest.fixture(scope="module")
def server():
    with Server(ENGINE_IDLE_SECONDS="30") as server:
        yield server


@pytest.fixture(scope="module")
def film():
    """A silent track in front, speech as AC-3 that begins at 5 s, and other speech."""
    silent = Track([(0, np.zeros(32_000, np.int16))], "aac", 48_000, default=True)
    tracks = (Track([(5, SHORT)], "ac3", 48_000), Track([(0, MORE)], "aac", 48_000))
    return muxed("matroska", silent, *tracks, picture_seconds=9)


def test_a_film_is_heard_and_its_subtitles_are_in_time(server, film):
    answer = server.upload(TRANSCRIBE, film).json
    assert understood(answer["text"], AUSTEN_SHORT.text)
    assert answer["segments"][0]["start"] == pytest.approx(5, abs=1)
    assert answer["duration"] == pytest.approx(8.3, abs=0.2)
    (cue, *_) = srt.parse(server.upload(TRANSCRIBE, film, format="srt").body.decode())
    assert cue.start.total_seconds() == pytest.approx(5, abs=1)


@pytest.mark.parametrize(("track", "text"), [("1", AUSTEN_SHORT.text), ("2", NEURAL.text), ("0", "")])
def test_the_track_that_is_asked_for_is_heard(server, film, track, text):
    assert understood(server.upload(TRANSCRIBE, film, audio_track=track).json["text"], text)


@pytest.mark.parametrize(("track", "says"), [("3", "it has 3"), ("-1", "from 0"), ("all", "number")])
def test_a_track_that_is_not_there_is_refused(server, film, track, says):
    answer = server.upload(TRANSCRIBE, film, audio_track=track)
    assert (answer.status, answer.json["error"]["param"]) == (400, "audio_track")
    assert says in answer.json["error"]["message"]


@pytest.mark.parametrize("format", ["srt", "vtt"])
@pytest.mark.parametrize("seconds", [1.3, 2.4])
def test_no_cue_ends_after_the_recording(server, format, seconds):
    recording = wav(SHORT[: int(seconds * 16_000)])
    for route, options in (
        (TRANSCRIBE, {"format": format}),
        (OPENAI, {"response_format": format, "model": "whisper-1"}),
    ):
        body = server.upload(route, recording, **options).body.decode().replace("WEBVTT\n\n", "")
        numbered = body if format == "srt" else f"1\n{body.replace('.', ',')}"
        *_, last = srt.parse(numbered)
        assert last.end.total_seconds() <= seconds + 0.01
