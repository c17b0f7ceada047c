"""Which of several models gets a recording, and what the others cost meanwhile; real models, real processes."""

import shutil
from contextlib import closing
from pathlib import Path

import jiwer
import numpy as np
import pytest

from app.config import ConfigError, Settings
from app.engine_process.stt.decode import decode
from app.errors import InsufficientMemory, InvalidRequest, ModelCannotTranslate, ModelMissing, ModelNotFound
from app.speech import models
from app.speech.chain import SpeakRequest
from app.speech.service import Speech
from app.speech.transcription import TranscriptionRequest
from tests import recordings
from tests.likeness import understood

MODEL_DIR = Path(Settings.from_env().model_dir)
JAPANESE = recordings.DATA / "japanese_6s.mp3"
GERMAN = "Der Zug nach München fährt heute um zehn Uhr vierzig von Gleis drei ab."
PATIENT = {"background": True}  # who waits for nothing

needs_base = pytest.mark.skipif(
    models.find("base", MODEL_DIR) is None, reason="the model base is not here; `make model` fetches it"
)


def build(budget_mb=1000.0, **settings):
    return Speech(Settings(**{"model_dir": str(MODEL_DIR), **settings}), budget_mb, lambda: 50.0)


@pytest.fixture
def speech():
    speech = build()
    yield speech
    speech.close()


def heard(speech, path, **asked):
    with closing(speech.transcribe(TranscriptionRequest(str(path), **asked), lambda: True)) as found:
        text = "".join(segment.text for segment in found)
        return found, text


def running(speech):
    return {engine.program.model for engine in speech.engines if engine.is_running and engine.program.model}


def german(speech, tmp_path):
    path = tmp_path / "german.wav"
    asked = SpeakRequest(text=GERMAN, engine="espeak", language="de", format="wav", stream=False)
    with closing(speech.synthesis.speak(asked, lambda: True)) as spoken:
        path.write_bytes(b"".join(spoken.audio))
    return path


def hardly_heard(tmp_path):
    """English that is cut off and half noise: the model for English is not sure of it."""
    said = np.concatenate(list(decode(str(recordings.NEURAL.path), 60)))[:19_200].astype(float)
    noise = np.random.default_rng(0).normal(0, said.std(), len(said))
    mixed = (said + noise) * 16_000 / np.abs(said + noise).max()
    path = tmp_path / "noisy.wav"
    path.write_bytes(recordings.wav(mixed.astype(np.int16)))
    return path


@needs_base
def test_english_is_heard_by_the_model_for_english_and_no_other_is_started(speech):
    for clip in recordings.CLIPS:
        found, text = heard(speech, clip.path)
        assert (found.model, found.language) == ("tiny.en", "en")
        assert understood(text, clip.text)
    assert running(speech) == {"tiny.en"}


@needs_base
def test_another_language_is_heard_by_the_model_that_knows_it(speech, tmp_path):
    found, text = heard(speech, JAPANESE)
    assert (found.model, found.language) == ("base", "ja")
    assert (
        jiwer.cer(JAPANESE.with_suffix(".txt").read_text().strip(), text) < 0.6
    )  # kana for kanji are other letters
    assert found.duration_seconds == pytest.approx(6.5, abs=0.1)
    found, _ = heard(speech, german(speech, tmp_path))
    assert (found.model, found.language) == ("base", "de")


@pytest.mark.long
@needs_base
@pytest.mark.long
def test_a_foreign_sentence_said_again_and_again_is_not_english(speech, tmp_path):
    """Its English text becomes likelier each time."""
    path = tmp_path / "repeated.wav"
    path.write_bytes(recordings.wav(np.concatenate([*decode(str(JAPANESE), 60)] * 5)))
    found, _ = heard(speech, path)
    assert (found.model, found.language) == ("base", "ja")


@needs_base
@pytest.mark.long
def test_english_that_is_hardly_understood_is_english_all_the_same(speech, tmp_path):
    """The other model hears which language it is, and gives it back."""
    found, _ = heard(speech, hardly_heard(tmp_path))
    assert (found.model, found.language) == ("tiny.en", "en")
    assert running(speech) == {"tiny.en", "base"}


@needs_base
def test_who_says_the_language_starts_one_model_only(speech, tmp_path):
    assert heard(speech, german(speech, tmp_path), language="de")[0].model == "base"
    assert running(speech) == {"base"}
    speech.unload()
    assert heard(speech, recordings.AUSTEN_SHORT.path, language="en")[0].model == "tiny.en"
    assert running(speech) == {"tiny.en"}


@needs_base
@pytest.mark.long
def test_a_translation_is_made_by_a_model_that_can(speech):
    found, text = heard(speech, JAPANESE, task="translate")
    assert found.model == "base"
    assert text.isascii(), "not as it was said"


@needs_base
def test_the_language_is_one_of_those_it_may_be(speech):
    found, _ = heard(speech, JAPANESE, languages=["de", "fr"])
    assert found.model == "base"
    assert found.language in ("de", "fr")
    assert heard(speech, JAPANESE, languages=["ja", "en"])[0].language == "ja"
    assert heard(speech, JAPANESE, languages=["en"])[0].model == "tiny.en"
    with pytest.raises(InvalidRequest, match=r"yue: .*base; they are af, ") as refusal:
        heard(speech, JAPANESE, languages=["yue"])
    assert refusal.value.param == "languages[]"


@needs_base
def test_a_model_that_is_named_is_asked_whatever_the_language(speech):
    assert heard(speech, recordings.AUSTEN_SHORT.path, model="base")[0].model == "base"
    assert heard(speech, JAPANESE, model="tiny.en")[0].model == "tiny.en"
    with pytest.raises(ModelCannotTranslate):
        heard(speech, JAPANESE, model="tiny.en", language="ja")
    with pytest.raises(ModelNotFound, match=r"there are tiny\.en, base"):
        heard(speech, JAPANESE, model="small")


@needs_base
@pytest.mark.long
def test_parts_of_a_long_recording_are_all_in_the_language_of_the_first(speech):
    survey = speech.survey(TranscriptionRequest(str(JAPANESE)), lambda: True)
    assert survey.language == "ja"


@needs_base
@pytest.mark.long
def test_models_that_do_not_fit_together_take_turns_and_nobody_is_killed():
    both = build()
    costs = [engine.program.cost_mb for engine in both.engines[:2]]
    speech = build(50 + 12 + max(costs) + 10)
    try:
        for path, model in [(recordings.AUSTEN_SHORT.path, "tiny.en"), (JAPANESE, "base")] * 2:
            assert heard(speech, path)[0].model == model
            assert running(speech) == {model}
        request = TranscriptionRequest(str(JAPANESE), model="base")
        with closing(speech.transcribe(request, lambda: True)) as under_way:
            assert next(iter(under_way)).text
            with pytest.raises(
                InsufficientMemory, match=r"the whisper engine needs \d+ MB, and of the budget"
            ):
                heard(speech, recordings.AUSTEN_SHORT.path, **PATIENT)
            assert running(speech) == {"base"}
    finally:
        both.close()
        speech.close()


def only_english(tmp_path):
    shutil.copytree(MODEL_DIR / "tiny.en", tmp_path / "tiny.en", copy_function=shutil.copyfile)
    return str(tmp_path)


def test_a_model_that_is_not_on_the_disk_is_told_and_others_work(tmp_path):
    speech = build(model_dir=only_english(tmp_path))
    try:
        check = speech.checks()[0]
        assert check.reason == ""
        assert "base is not in" in check.detail
        with pytest.raises(ModelMissing, match="models fetch base"):
            heard(speech, JAPANESE, language="ja")
        assert heard(speech, recordings.AUSTEN_SHORT.path)[0].model == "tiny.en"
    finally:
        speech.close()


def test_a_default_that_is_not_on_the_disk_is_a_failure_that_names_who_answers(tmp_path):
    only_english(tmp_path)
    (tmp_path / "tiny.en").rename(tmp_path / "ours")
    speech = build(model_dir=str(tmp_path), whisper_model="tiny.en,ours")
    try:
        check = speech.checks()[0]
        assert "tiny.en is not in" in check.reason
        assert "ours transcribes instead" in check.reason
        assert heard(speech, recordings.AUSTEN_SHORT.path)[0].model == "ours"
    finally:
        speech.close()


def test_a_model_that_is_neither_here_nor_fits_is_refused():
    speech = build(300.0, whisper_model="tiny.en,large-v3")
    try:
        assert "large-v3" in speech.checks()[0].detail
        with pytest.raises(ModelMissing, match="large-v3"):
            heard(speech, JAPANESE, language="ja")
    finally:
        speech.close()


@needs_base
def test_a_model_that_is_here_and_can_never_fit_is_refused_with_the_numbers():
    (_, cost_mb), _ = models.choose(Settings(model_dir=str(MODEL_DIR)), 1000.0)
    speech = build(50.0 + 12 + cost_mb + 5)
    try:
        assert "the engine of base needs" in speech.checks()[0].detail
        with pytest.raises(InsufficientMemory, match=r"the engine of base needs \d+ MB; the budget is "):
            heard(speech, JAPANESE, model="base")
        assert heard(speech, JAPANESE)[0].model == "tiny.en", "as where it is the only one"
    finally:
        speech.close()


@pytest.mark.parametrize(
    ("listed", "problem"),
    [
        (",", "names no model"),
        ("tiny.en,tiny-en", "no model is called 'tiny-en'"),
        ("tiny.en,tiny.en", "two models are called tiny.en"),
        ("large-v3,tiny.en", "the engine of large-v3 needs"),
    ],
)
def test_a_list_that_cannot_be_served_stops_the_start(listed, problem):
    with pytest.raises(ConfigError, match=problem):
        models.choose(Settings(whisper_model=listed, model_dir=str(MODEL_DIR)), 512)


def test_a_path_with_a_comma_is_one_model(tmp_path):
    place = tmp_path / "a,b"
    place.mkdir()
    path = f"{only_english(place)}/tiny.en"
    ((model, _),) = models.choose(Settings(whisper_model=path, model_dir=str(tmp_path)), 512)
    assert (model.label, model.multilingual) == ("tiny.en", False)


def test_a_warm_engine_is_there_before_it_is_asked(speech):
    speech.transcriber.choose(TranscriptionRequest(""))[0].engine.warm()
    found, _ = heard(speech, recordings.AUSTEN_SHORT.path)
    assert found.model == "tiny.en"
    assert speech.engines[0].starts == 1
