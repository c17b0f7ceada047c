import pytest

from app.config import Settings
from app.speech.voices import OPENAI_VOICES, EspeakFiles, Voices, espeak_voices, find_espeak


@pytest.fixture(scope="module")
def voices():
    return Voices(Settings(kokoro=False))


def test_every_voice_has_an_id_of_its_own(voices):
    ids = [voice.id for voice in voices.all]
    assert len(ids) == len(set(ids)) > 150
    assert all(voice.id.startswith(f"{voice.engine}:") for voice in voices.all)
    assert {voice.engine: voice.offline for voice in voices.all} == {
        "gtts": False,
        "neural": True,
        "pico": True,
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
        return [voice.key for voice in Voices(Settings(**allowed)).all if voice.engine == "neural"]

    assert neural() == ["heart"]
    assert set(neural(neural_voice_download=True)) > {"heart", "emma"}
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
    found = espeak_voices([EspeakFiles("lib", None), EspeakFiles("lib", str(tmp_path))])
    assert [(tag, voice.id) for tag, voice in found] == [("aa", "espeak:aa")]


NAMES = ("af_alloy", "af_bella", "af_heart", "am_adam", "am_onyx", "bf_emma", "bm_fable", "ef_dora", "em_alex",
         "ff_siwis", "hf_alpha", "if_sara", "im_nicola", "jf_alpha", "pf_dora", "zf_xiaobei")  # fmt: skip


@pytest.fixture
def kokoro(tmp_path):
    """The catalogue where Kokoro's files are; what is in them does not matter to it."""
    (tmp_path / "kokoro" / "voices").mkdir(parents=True)
    (tmp_path / "kokoro" / "kokoro.onnx").touch()
    for name in NAMES:
        (tmp_path / "kokoro" / "voices" / f"{name}.bin").touch()
    return Voices(Settings.from_env({"MODEL_DIR": str(tmp_path)}))


def test_kokoros_voices_are_there_once_they_were_fetched(kokoro, tmp_path):
    assert kokoro.engines == ("gtts", "kokoro", "neural", "pico", "espeak")
    # Japanese and Chinese it has voices for, but nothing here reads them aloud.
    assert {voice.key for voice in kokoro.all if voice.engine == "kokoro"} == set(NAMES) - {
        "jf_alpha",
        "zf_xiaobei",
    }
    for environ in ({"MODEL_DIR": str(tmp_path), "KOKORO": "false"}, {"MODEL_DIR": str(tmp_path / "other")}):
        assert Voices(Settings.from_env(environ)).engines == ("gtts", "neural", "pico", "espeak")


@pytest.mark.parametrize(
    ("language", "key"),
    [
        ("en", "af_heart"),
        ("en-US", "af_heart"),
        ("en-GB", "bf_emma"),
        ("en-AU", "af_heart"),
        ("es-MX", "ef_dora"),
        ("fr", "ff_siwis"),
        ("hi", "hf_alpha"),
        ("it", "if_sara"),
        ("pt", "pf_dora"),
        ("pt-BR", "pf_dora"),
        ("de", None),
        ("ja", None),
        ("zh", None),
    ],
)
def test_kokoro_has_a_voice_for_a_language(kokoro, language, key):
    voice = kokoro.speaking(language, "kokoro")
    assert (voice.key if voice else None) == key


@pytest.mark.parametrize(
    ("name", "language", "key"),
    [
        ("alloy", "en", "af_alloy"),
        ("onyx", "en", "am_onyx"),
        ("onyx", "en-US", "am_onyx"),
        ("fable", "en", "bm_fable"),
        ("fable", "en-US", "am_onyx"),
        ("nova", "es", "ef_dora"),
        ("echo", "es", "em_alex"),
        ("cedar", "it", "im_nicola"),
        ("alloy", "fr", "ff_siwis"),
        ("onyx", "pt", "pf_dora"),
    ],
)
def test_openais_names_are_voices_of_the_language(kokoro, name, language, key):
    """The voice of that name; else one of that gender; else the one there is."""
    voice = kokoro.alias(name, language, "kokoro") or kokoro.speaking(language, "kokoro")
    assert voice.key == key


@pytest.mark.parametrize(
    "mixed", ["af_heart(2)+af_bella(1)", "AF_HEART(2) + AF_BELLA(1)", "kokoro:af_heart(2)+af_bella(1)"]
)
def test_voices_can_be_mixed(kokoro, mixed):
    (voice,) = kokoro.named(mixed, ["gtts", "kokoro"])
    assert (voice.id, voice.language) == ("kokoro:af_heart(2)+af_bella(1)", "en-US")
    assert kokoro.named(mixed, ["gtts", "espeak"]) == []


@pytest.mark.parametrize(
    "mixed",
    [
        "af_heart+nobody",
        "af_heart(0)+af_bella(0)",
        "af_heart(x)+af_bella",
        "af_heart(-1)+af_bella(2)",
        "+",
        "af_heart+",
        "+".join(["af_heart"] * 9),
        "af_heart(1e9)",
        "af_heart(2)/../x",
        "jf_alpha+af_heart",
    ],
)
def test_a_mixture_that_is_none_is_no_voice(kokoro, mixed):
    assert kokoro.named(mixed, ["kokoro"]) == []


@pytest.mark.parametrize(("name", "gender"), [(voice, gender) for voice, gender in OPENAI_VOICES.items()])
def test_each_of_openais_names_keeps_its_gender(kokoro, name, gender):
    for language in ("en", "en-GB", "es", "it"):
        assert kokoro.alias(name, language, "kokoro").gender == gender
