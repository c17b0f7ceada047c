"""The chain with real engine processes; Google's endpoint is a local stand-in."""

import io
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import av
import pytest

from app.config import PROJECT, Settings
from app.engine.budget import Budget
from app.errors import ClientGone, SynthesisUnavailable
from app.speech import voices
from app.speech.audio import SynthesisResult
from app.speech.chain import SpeakRequest
from app.speech.synthesis import Synthesis
from tests.gtts_stand_in import GttsStandIn, mp3

HELLO = SpeakRequest("Hello there. This is a test of the chain.", format="wav")


@pytest.fixture
def stand_in():
    mp3(HELLO.text)  # so that the first who asks for it is answered in time
    with GttsStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def build(tmp_path, stand_in):
    """Makes a Synthesis from settings, by default a patient one; closed at the end."""
    built = []

    def build(limit_mb: float = 2000, **environ: str) -> Synthesis:
        ours = {"KOKORO": "false", "TTS_CACHE_DIR": str(tmp_path / "cache"), "GTTS_URL": stand_in.url}
        settings = Settings.from_env({**ours, "TTS_TIMEOUT_SECONDS": "120", **environ})
        built.append(Synthesis(settings, Budget(limit_mb, 0, lambda: 50.0)))
        return built[-1]

    yield build
    for synthesis in built:
        synthesis.engine.close()


def heard(spoken: SynthesisResult) -> bytes:
    try:
        return b"".join(spoken.audio)
    finally:
        spoken.close()


def seconds(audio: bytes) -> float:
    with av.open(io.BytesIO(audio)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def refusal(synthesis: Synthesis, text: str) -> str:
    with pytest.raises(SynthesisUnavailable) as refused:
        synthesis.speak(request(text=text))
    return refused.value.message


class OtherEngine:
    """One that is at work and weighs what it was granted."""

    name = "other"
    last_used = 0.0

    def measured_mb(self) -> float:
        return 50.0

    def stop_if_unused(self) -> bool:
        return False


def request(**changes: object) -> SpeakRequest:
    return HELLO._replace(**changes)


def test_the_first_in_the_chain_speaks(build):
    spoken = build().speak(HELLO)
    assert (spoken.engine, spoken.voice, spoken.fallback, spoken.cached) == ("gtts", "gtts:en", (), False)
    assert spoken.media_type == "audio/wav"
    assert seconds(heard(spoken)) > 2


@pytest.mark.parametrize("behaviour", ["429", "500", "html", "no audio", "redirect", "not mp3"])
def test_when_google_fails_the_neural_voice_speaks(build, stand_in, behaviour):
    stand_in.behaviour = behaviour
    spoken = build().speak(HELLO)
    assert spoken.engine == "neural"
    assert spoken.fallback[0].startswith("gtts: Google Translate's voice can't be had")
    assert seconds(heard(spoken)) > 2


def test_an_endpoint_that_says_nothing_costs_half_the_time_at_most(build, stand_in):
    synthesis = build()
    for engine in ("gtts", "espeak"):  # to start them takes a time of its own
        heard(synthesis.speak(request(engine=engine)))
    synthesis._timeout = 4
    stand_in.behaviour = "silence"
    spoken = synthesis.speak(request(engine=None, language="pl"))
    assert spoken.engine == "espeak"
    assert heard(spoken)


def test_without_network_and_with_no_room_the_small_ones_speak(build):
    spoken = build(limit_mb=130, GTTS_URL="http://127.0.0.1:9/nothing").speak(HELLO)
    assert spoken.engine == "pico"
    assert [reason.split(":")[0] for reason in spoken.fallback] == ["gtts", "neural"]
    assert "MEMORY_BUDGET_MB" in spoken.fallback[1]
    assert seconds(heard(spoken)) > 2


def test_when_nobody_can_every_reason_is_given(build, stand_in):
    stand_in.behaviour = "500"
    with pytest.raises(SynthesisUnavailable, match=r"gtts: .* 500") as failure:
        build(limit_mb=110).speak(request(engine="gtts"))
    assert failure.value.status == 503


def test_an_engine_that_does_not_fit_is_a_reason(build):
    with pytest.raises(SynthesisUnavailable, match=r"neural: .*MEMORY_BUDGET_MB"):
        build(limit_mb=100, TTS_ENGINE="neural").speak(HELLO)


def test_each_of_several_that_wait_for_memory_is_told_so(build, caplog):
    """One waits for room; the others wait for their turn behind it, which is no fault of the synthesizer's."""
    synthesis = build(limit_mb=110, TTS_ENGINE="espeak", TTS_TIMEOUT_SECONDS="1")
    other = OtherEngine()
    synthesis.engine._budget.admit(other, 50)
    with ThreadPoolExecutor(4) as threads:
        refusals = [*threads.map(lambda number: refusal(synthesis, f"Number {number}."), range(4))]
    for said in refusals:
        assert "espeak: the speech engine needs 32 MB" in said
        assert "50 MB are in use" not in said  # the web worker's 50 and the other's 50
        assert "100 MB are in use" in said
    logged = [record.getMessage() for record in caplog.records if "synthesizer=espeak" in record.getMessage()]
    assert len(logged) == 4
    assert all("insufficient_memory: the speech engine needs 32 MB" in line for line in logged)


def test_who_cannot_say_most_of_a_text_is_a_reason(build, stand_in):
    stand_in.behaviour = "500"
    with pytest.raises(SynthesisUnavailable, match=r"gtts: .*; espeak: can't say han letters"):
        build().speak(request(text="日本語を話します"))


def test_a_mixed_sentence_is_spoken_whole_where_google_is_away(build, stand_in):
    stand_in.behaviour = "500"
    spoken = build().speak(request(text="The word 你好 means hello."))
    assert (spoken.engine, spoken.skipped) == ("espeak", {})
    assert seconds(heard(spoken)) > 1


def test_why_a_synthesizer_failed_is_logged(build, stand_in, caplog):
    stand_in.behaviour = "500"
    heard(build().speak(HELLO))
    assert "synthesizer=gtts failed: synthesis_failed: Google Translate's voice" in caplog.text


def test_speech_that_takes_longer_than_the_wait_for_its_first_audio_comes_whole(build):
    """TTS_TIMEOUT_SECONDS is about the first audio, whether or not the rest is streamed."""
    synthesis = build(TTS_ENGINE="espeak")
    heard(synthesis.speak(HELLO))  # it has started
    synthesis._timeout = 1
    text = "This sentence is one of many that are spoken. " * 80
    spoken = synthesis.speak(request(text=text, format="mp3", speed=0.25, stream=False))
    assert len(heard(spoken)) == spoken.size_bytes


def test_a_breaker_spares_the_callers_a_dead_endpoint(build, stand_in):
    stand_in.behaviour = "500"
    synthesis = build(TTS_CACHE_MB="0")
    for text in ("One.", "Two.", "Three."):
        heard(synthesis.speak(request(text=text)))
    spoken = synthesis.speak(request(text="Four."))
    heard(spoken)
    assert stand_in.texts == ["One.", "Two.", "Three."]
    assert spoken.fallback[0].startswith("gtts: failed lately; tried again in")
    assert [check.name for check in synthesis.checks() if check.reason] == ["gtts"]


def test_identical_requests_are_answered_from_disk_without_an_engine(build):
    first = build(TTS_ENGINE="espeak")
    audio = heard(first.speak(HELLO))
    again = build(TTS_ENGINE="espeak")
    spoken = again.speak(HELLO)
    assert spoken.cached
    stored = heard(spoken)
    assert again.engine.starts == 0
    assert stored[44:] == audio[44:]  # the header of the stored file says how long it is
    assert spoken.size_bytes == len(stored)
    assert spoken.duration_seconds == pytest.approx(seconds(stored), abs=0.001)


@pytest.mark.parametrize(
    "change", [{"text": "Other."}, {"speed": 1.5}, {"format": "flac"}, {"language": "fr"}]
)
def test_another_request_is_not_answered_from_disk(build, change):
    synthesis = build(TTS_ENGINE="espeak")
    tags = set()
    for each in (HELLO, request(**change)):
        spoken = synthesis.speak(each)
        heard(spoken)
        assert not spoken.cached
        tags.add(spoken.etag)
    assert len(tags) == 2


def test_a_stand_in_from_the_cache_says_so_and_a_choice_is_no_stand_in(build, stand_in):
    synthesis = build()
    heard(synthesis.speak(request(engine="espeak")))
    chosen = synthesis.speak(HELLO)
    heard(chosen)
    assert chosen.engine == "gtts"
    stand_in.behaviour = "500"
    other = request(text="Something else.")
    heard(synthesis.speak(other))
    again = synthesis.speak(other)
    heard(again)
    assert (again.engine, again.cached) == ("neural", True)
    assert again.fallback == ("gtts: failed lately",)


def test_whole_audio_has_its_size_and_length(build):
    spoken = build(TTS_ENGINE="espeak", TTS_CACHE_MB="0").speak(request(format="mp3", stream=False))
    audio = heard(spoken)
    assert len(audio) == spoken.size_bytes
    assert seconds(audio) == pytest.approx(spoken.duration_seconds, abs=0.005)


def test_what_was_cancelled_is_not_kept(build, tmp_path):
    synthesis = build(TTS_ENGINE="espeak")
    long = request(text="A sentence that is repeated. " * 50)
    spoken = synthesis.speak(long)
    next(iter(spoken.audio))
    spoken.close()
    assert list((tmp_path / "cache").iterdir()) == []
    assert synthesis.engine.state().seats_taken == 0


def test_audio_that_nobody_began_to_read_can_be_closed(build):
    synthesis = build(TTS_ENGINE="espeak")
    synthesis.speak(request(text="Never heard. " * 20)).close()
    assert synthesis.engine.state().seats_taken == 0


def test_an_engine_process_that_dies_before_the_first_byte_is_no_end(build, stand_in):
    stand_in.behaviour = "silence"
    synthesis = build()
    killed = []

    def wanted() -> bool:
        pid = synthesis.engine.state().pid
        if stand_in.texts and not killed and pid:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)
        return True

    spoken = synthesis.speak(HELLO, wanted)
    assert killed
    assert spoken.engine == "neural"
    assert "ended while it worked" in spoken.fallback[0]
    assert heard(spoken)


def test_a_client_that_left_is_not_spoken_to(build, stand_in):
    stand_in.behaviour = "silence"
    synthesis = build()
    with pytest.raises(ClientGone):
        synthesis.speak(HELLO, lambda: not stand_in.texts)
    assert synthesis.engine.state().seats_taken == 0


def test_a_tag_that_is_still_right_is_known_without_an_engine(build):
    synthesis = build(TTS_ENGINE="espeak")
    spoken = synthesis.speak(HELLO)
    heard(spoken)
    tag = spoken.etag
    starts = synthesis.engine.starts
    assert synthesis.etag(HELLO, f'"other", W/"{tag}"') == tag
    assert synthesis.etag(request(text="Other."), f'"{tag}"') is None
    assert synthesis.engine.starts == starts


def test_voices_are_listed_by_language_and_by_what_may_be_asked(build):
    assert {voice.engine for voice in build().voices("de")} == {"gtts", "pico", "espeak"}
    offline = build(TTS_ENGINE="neural")
    assert {voice.engine for voice in offline.voices()} == {"neural", "pico", "espeak"}
    assert offline.engine.starts == 0


def test_checks_name_what_can_never_fit(build):
    reasons = {check.name: check.reason for check in build(limit_mb=130).checks()}
    assert "never has" in reasons["neural"]
    assert reasons["espeak"] == reasons["gtts"] == ""


@pytest.fixture
def break_steps(stand_in, tmp_path, monkeypatch):
    """
    Makes steps of the chain fail as they do in life; the settings with which they do.

    Google answers 500, Kokoro's model is half, the neural voice's file was not copied to its end, and neither was
    Pico's library: the engine process finds copies of the packages before those that are installed.
    """

    def broken_copy(package: str, file: str, length: int) -> None:
        copy = tmp_path / "packages" / package
        shutil.copytree(voices.package_directory(package), copy)
        os.truncate(copy / file, length)

    def break_steps(*steps: str) -> dict[str, str]:
        settings = {"MODEL_DIR": str(PROJECT / "models"), "TTS_CACHE_MB": "0"}
        if "gtts" in steps:
            stand_in.behaviour = "500"
        if "kokoro" in steps:
            directory = tmp_path / "models" / "kokoro"
            (directory / "voices").mkdir(parents=True)
            for name in ("af_heart", "ff_siwis"):
                (directory / "voices" / f"{name}.bin").write_bytes(bytes(522240))
            (directory / "kokoro.onnx").write_bytes(b"\x08\x07\x12\x07pytorch")  # an ONNX file's first bytes
            settings["MODEL_DIR"] = str(tmp_path / "models")
        if "neural" in steps:
            broken_copy("hibari", "assets/hibari.onnx", 1 << 20)
        if "pico" in steps:
            broken_copy("py_nanotts", "_nanotts.abi3.so", 100)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
        return settings

    return break_steps


HEARD_AS = {
    "en": ("gtts", "kokoro", "neural", "pico", "espeak"),
    "fr": ("gtts", "kokoro", "pico", "espeak"),
    "pl": ("gtts", "espeak"),
}


@pytest.mark.parametrize(
    ("language", "number"),
    [
        pytest.param(language, number, marks=[pytest.mark.long] if steps[number] == "kokoro" else [])
        for language, steps in HEARD_AS.items()
        for number in range(1, len(steps))
    ],
)
def test_each_step_of_the_chain_stands_in_for_those_above_it(build, break_steps, language, number):
    above, speaks = HEARD_AS[language][:number], HEARD_AS[language][number]
    if speaks == "kokoro" and not (PROJECT / "models" / "kokoro").is_dir():
        pytest.skip("Kokoro's voices are not here: python -m app voices fetch kokoro")
    settings = break_steps(*HEARD_AS[language][:number])
    spoken = build(KOKORO="true", **settings).speak(request(language=language))
    assert seconds(heard(spoken)) > 1
    assert spoken.engine == speaks
    assert tuple(reason.partition(":")[0] for reason in spoken.fallback) == above


@pytest.mark.parametrize("broken", ["no model", "a model that is none", "no voice"])
def test_where_kokoro_is_broken_the_next_speaks_and_says_why(build, tmp_path, broken):
    directory = tmp_path / "models" / "kokoro"
    (directory / "voices").mkdir(parents=True)
    (directory / "voices" / "af_heart.bin").write_bytes(b"" if broken == "no voice" else bytes(522240))
    (directory / "kokoro.onnx").write_bytes(b"<!DOCTYPE html><title>502 Bad Gateway</title>")
    synthesis = build(KOKORO="true", MODEL_DIR=str(tmp_path / "models"))
    assert any(voice.engine == "kokoro" for voice in synthesis.voices())
    if broken == "no model":
        (directory / "kokoro.onnx").unlink()
    spoken = synthesis.speak(request(voice="af_heart"))
    assert seconds(heard(spoken)) > 1
    assert spoken.engine == "gtts"
    assert "voices fetch kokoro" in spoken.fallback[0]


def test_where_the_budget_has_no_room_for_kokoro_the_next_speaks(build, tmp_path):
    (tmp_path / "models" / "kokoro" / "voices").mkdir(parents=True)
    (tmp_path / "models" / "kokoro" / "kokoro.onnx").touch()
    (tmp_path / "models" / "kokoro" / "voices" / "ff_siwis.bin").touch()
    synthesis = build(limit_mb=300, KOKORO="true", MODEL_DIR=str(tmp_path / "models"))
    mp3("Bonjour tout le monde.")
    spoken = synthesis.speak(request(text="Bonjour tout le monde.", voice="ff_siwis"))
    assert spoken.engine == "gtts"
    assert "kokoro" in spoken.fallback[0]
    heard(spoken)
    assert "never has" in {check.name: check.reason for check in synthesis.checks()}["kokoro"]


def test_a_job_whose_synthesizer_makes_no_sound_fails_and_nothing_is_kept(build, engine, tmp_path):
    """The engine that speaks the wire ends at once here, without a byte."""
    synthesis = build(TTS_ENGINE="espeak")
    synthesis.engine = engine
    with pytest.raises(SynthesisUnavailable, match="no sound"):
        synthesis.speak(SpeakRequest("Hello.", stream=False, background=True))
    assert list((tmp_path / "cache").glob("*.audio")) == []
