"""The package faster-whisper behind the same sessions."""

import math

import pytest

from app.engine import protocol
from app.engine_process.stt.library import FasterWhisperEngine
from tests import recordings
from tests.likeness import understood

from .test_whisper import ask, kinds, text_of


@pytest.fixture(scope="module")
def library(stock_dir):
    options = {"model_dir": str(stock_dir), "model": "tiny.en", "threads": 2, "device": "cpu"}
    engine = FasterWhisperEngine({**options, "compute_type": "default"})
    import tqdm

    tqdm.tqdm.monitor_interval = 0  # its thread would be left behind
    return engine


def test_its_sessions_are_those_of_the_builtin_engine(library, whisper):
    options = {"word_timestamps": True}
    theirs, ours = (ask(engine, recordings.AUSTEN.path, **options) for engine in (library, whisper))
    assert understood(text_of(theirs), recordings.AUSTEN.text)
    assert None in theirs  # between segments others take their turns
    for kind in ("length", "start", "segment", "progress", "end"):
        assert kinds(theirs, kind)[0].keys() == kinds(ours, kind)[0].keys() - {"resume"}
    assert kinds(theirs, "end") == [pytest.approx(kinds(ours, "end")[0])]
    assert theirs[-1]["kind"] == "end"
    words = [word["word"] for segment in kinds(theirs, "segment") for word in segment["words"]]
    assert "".join(words).split() == text_of(theirs).split()


def test_of_a_clip_the_times_are_those_of_the_recording(library):
    clip = (4.0, 9.0)
    for segment in kinds(ask(library, recordings.AUSTEN.path, clip=clip), "segment"):
        assert clip[0] - 0.1 <= segment["start"] <= segment["end"] <= clip[1] + 0.1


def test_a_transcription_goes_on_where_the_builtin_engine_was(library):
    resume = {
        "seconds": 5.0,
        "context": [],
        "said_until": 5.0,
        "language": "en",
        "segments": 3,
        "mark": (0, 0, 0.0),
    }
    segments = kinds(ask(library, recordings.AUSTEN.path, resume=resume), "segment")
    assert segments[0]["id"] == 4
    assert all(segment["start"] >= 4.9 for segment in segments)


def test_another_language_than_english_is_handed_over(library, whisper):
    for engine in (library, whisper):
        answers = ask(engine, recordings.DATA / "japanese_6s.mp3", hand_over=True)
        assert answers[-1] == {"kind": "handed_over"}
        assert not kinds(answers, "start")
        answers = ask(engine, recordings.AUSTEN.path, hand_over=True)
        assert understood(text_of(answers), recordings.AUSTEN.text)


def test_silence_has_no_text(library, upload):
    answers = ask(library, upload(recordings.silence(5)))
    assert kinds(answers, "segment") == []
    assert kinds(answers, "end")[0]["duration"] == pytest.approx(5, abs=0.1)


def test_what_is_not_audio_is_refused_as_ever(library, upload):
    with pytest.raises(protocol.Refused) as refused:
        ask(library, upload(b"not audio"))
    assert refused.value.code == "invalid_audio"


def test_a_recording_that_is_too_long_is_refused(library):
    with pytest.raises(protocol.Refused):
        ask(library, recordings.AUSTEN.path, max_audio_seconds=5)


def test_a_gpu_that_is_not_there_is_named(stock_dir):
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("there is a GPU")
    options = {"model_dir": str(stock_dir), "model": "tiny.en", "threads": 1, "device": "cuda"}
    engine = FasterWhisperEngine({**options, "compute_type": "default"})
    with pytest.raises(protocol.Refused, match="WHISPER_DEVICE=cuda"):
        ask(engine, recordings.AUSTEN.path)


def test_weights_that_are_not_here_are_named(tmp_path, stock_dir):
    for name in ("config.json", "vocabulary.txt", "tokenizer.json", "encoder.bin", "decoder"):
        (tmp_path / name).symlink_to(stock_dir / name)
    options = {"model_dir": str(tmp_path), "model": "tiny.en", "threads": 1, "device": "cpu"}
    engine = FasterWhisperEngine({**options, "compute_type": "default"})
    with pytest.raises(protocol.Refused, match="make run") as refused:
        ask(engine, recordings.AUSTEN.path, clip=(0, math.inf))
    assert refused.value.code == "model_missing"
