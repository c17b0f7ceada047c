import pytest

from app.speech.voices import EspeakFiles, Voices, find_espeak


@pytest.fixture(scope="module")
def voices():
    return Voices(find_espeak())


def test_every_voice_has_an_id_of_its_own(voices):
    ids = [voice.id for voice in voices.all]
    assert len(ids) == len(set(ids)) > 150
    assert all(voice.id.startswith(f"{voice.engine}:") for voice in voices.all)
    assert {voice.engine: voice.offline for voice in voices.all} == {
        "gtts": False,
        "neural": True,
        "espeak": True,
    }


@pytest.mark.parametrize(
    ("language", "gtts", "neural", "espeak"),
    [
        ("en", "gtts:en", "neural:heart", "espeak:en"),
        ("en-US", "gtts:en", "neural:heart", "espeak:en-us"),
        ("de-AT", "gtts:de", None, "espeak:de"),
        ("zh", "gtts:zh", None, "espeak:cmn"),
        ("he", "gtts:iw", None, "espeak:he"),
        ("eo", None, None, "espeak:eo"),
        ("xx", None, None, None),
    ],
)
def test_each_engine_has_a_voice_for_a_language(voices, language, gtts, neural, espeak):
    found = [voices.speaking(language, engine) for engine in ("gtts", "neural", "espeak")]
    assert [voice.id if voice else None for voice in found] == [gtts, neural, espeak]


@pytest.mark.parametrize("name", ["neural:heart", "heart", "HEART", "Heart (American English, female)"])
def test_a_voice_goes_by_its_id_or_its_name(voices, name):
    assert [voice.id for voice in voices.named(name, ["neural", "espeak"])] == ["neural:heart"]
    assert voices.named(name, ["espeak"]) == []


def test_voices_on_this_machine_and_those_that_may_be_fetched_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))

    def neural(**allowed):
        return [voice.key for voice in Voices([], **allowed).all if voice.engine == "neural"]

    assert neural() == ["heart"]
    assert set(neural(neural_download=True)) > {"heart", "emma"}
    (tmp_path / "bf_emma.int8.onnx").touch()
    assert neural() == ["heart", "emma"]


def test_a_library_from_an_aptfile_is_found_with_its_data(tmp_path):
    (tmp_path / "espeak-ng-data").mkdir()
    (tmp_path / "libespeak-ng.so.1").touch()
    first = find_espeak({"LD_LIBRARY_PATH": f"/nowhere:{tmp_path}"})[0]
    assert first == EspeakFiles(str(tmp_path / "libespeak-ng.so.1"), str(tmp_path / "espeak-ng-data"))


def test_a_voice_without_its_dictionary_is_left_out(tmp_path):
    (tmp_path / "lang" / "x").mkdir(parents=True)
    for name in ("aa", "bb"):
        (tmp_path / "lang" / "x" / name).write_text(f"name Voice {name}\nlanguage {name}\n")
    (tmp_path / "aa_dict").touch()
    found = Voices([EspeakFiles("lib", None), EspeakFiles("lib", str(tmp_path))]).all
    assert [voice.id for voice in found if voice.engine == "espeak"] == ["espeak:aa"]
