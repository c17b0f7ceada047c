"""Live transcription as the web worker sees it: one engine after another hears the same inputs."""

import os
import signal

import numpy as np
import pytest

from app.config import PROJECT, Settings
from app.engine_process.stt.decode import decode
from app.errors import EngineDied, Misconfigured, ModelNotFound
from app.speech.live import CLEAR, COMMIT, LiveRequest, live_audio
from app.speech.service import Speech

from ..likeness import words, wrong_words
from ..recordings import DATA

REQUEST = LiveRequest(rate=16000, turn_detection=None)


def error_rate(said, heard):
    return wrong_words(heard, said) / len(words(said))


@pytest.fixture
def speech():
    settings = Settings.from_env({"MODEL_DIR": str(PROJECT / "models"), "WHISPER_MODEL": "tiny.en"})
    speech = Speech(settings, 2000, lambda: 60.0)
    yield speech
    speech.close()


def audio():
    samples = np.concatenate(list(decode(str(DATA / "austen_3s.flac"), 60))).astype("<i2").tobytes()
    return [live_audio(samples[at : at + 8000]) for at in range(0, len(samples), 8000)]


def test_an_engine_killed_in_mid_turn_ends_the_call_and_the_same_inputs_go_on_with_another(speech):
    def inputs():
        yield from audio()[:4]
        os.kill(speech.engines[0].state().pid, signal.SIGKILL)
        yield from audio()
        yield COMMIT
        yield CLEAR

    given = inputs()
    with pytest.raises(EngineDied):
        list(speech.live(REQUEST, given, lambda: True))
    found = list(speech.live(REQUEST, given, lambda: True))
    assert found[-1].kind == "cleared"
    (text,) = [event.text for event in found if event.kind == "completed"]
    assert "".join(event.text for event in found if event.kind == "delta") == text
    assert error_rate((DATA / "austen_3s.txt").read_text(), text) <= 0.35
    assert speech.engines[0].state().seats_taken == 0


def test_what_can_not_be_heard_here_is_refused_before(speech):
    speech.choose_live(REQUEST)
    with pytest.raises(ModelNotFound):
        speech.choose_live(REQUEST._replace(model="none"))
    elsewhere = Settings.from_env(
        {"DISABLE_LOCAL_WHISPER": "true", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "k"}
    )
    other = Speech(elsewhere, 2000, lambda: 60.0)
    with pytest.raises(Misconfigured, match="live transcription needs a model here"):
        other.choose_live(REQUEST)
    other.close()
