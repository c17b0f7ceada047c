"""Recordings looked over and clips of them transcribed, in the engine's real process."""

import json
from contextlib import closing

import numpy as np
import pytest

from app.config import Settings
from app.engine import Observer
from app.engine_process.stt.decode import decode
from app.jobs.fleet.performer import join_segments
from app.speech.service import Speech
from app.speech.transcription import Clip, TranscriptionRequest
from tests import recordings
from tests.likeness import understood


class Heard(Observer):
    def __init__(self):
        self.seconds = 0.0

    def note(self, metric, value, *labels):
        if metric == "speech_transcribed_audio_seconds_total":
            self.seconds += value


@pytest.fixture
def speech():
    speech = Speech(Settings(whisper_model="tiny.en"), 1000.0, lambda: 50.0)
    yield speech
    speech.close()


def wanted():
    return True


def test_parts_of_a_recording_are_the_whole_of_it(speech, tmp_path):
    """Clips travel as JSON to other machines, and come back as lists."""
    first, second = (
        np.concatenate(list(decode(str(clip.path), 60)))
        for clip in (recordings.NEURAL, recordings.AUSTEN_SHORT)
    )
    path = tmp_path / "recording"
    path.write_bytes(recordings.wav(np.concatenate([first, np.zeros(16000, np.int16), second])))
    seconds = (len(first) + len(second)) / 16000 + 1
    heard = Heard()
    speech.watch(heard)
    survey = speech.survey(TranscriptionRequest(str(path)), wanted)
    assert survey.duration_seconds == pytest.approx(seconds)
    assert survey.language is None  # this model knows one only
    clips = json.loads(json.dumps(survey.cut(6.0)))
    assert len(clips) == 2
    assert clips[0][1] == clips[1][0] == pytest.approx(len(first) / 16000 + 0.5, abs=0.5)
    found = []
    for clip in clips:
        with closing(speech.transcribe(TranscriptionRequest(str(path), clip=clip), wanted)) as transcription:
            found.append(list(transcription))
            assert transcription.duration_seconds == pytest.approx(clip[1], abs=0.01)
    joined = list(join_segments(found))
    assert [segment.id for segment in joined] == [*range(1, len(joined) + 1)]
    assert joined[-1].start >= clips[1][0]
    said = f"{recordings.NEURAL.text} {recordings.AUSTEN_SHORT.text}"
    assert understood("".join(segment.text for segment in joined), said)
    assert heard.seconds == pytest.approx(seconds, abs=0.05)


def test_a_recording_another_server_transcribes_is_not_looked_over():
    settings = Settings(disable_local_whisper=True, openai_base_url="http://127.0.0.1:9/v1")
    speech = Speech(settings, 1000.0, lambda: 50.0)
    assert speech.survey(TranscriptionRequest("/nowhere", clip=Clip(0, 1)), wanted) is None
    speech.close()
