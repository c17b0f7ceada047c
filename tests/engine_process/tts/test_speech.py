"""The engine as its owner sees it: messages out for a question in."""

import io

import av
import pytest

from app.engine import protocol
from app.engine_process.tts.speech import SpeechEngine
from app.speech.voices import find_espeak
from tests.gtts_stand_in import GttsStandIn

VOICES = {"gtts": "en", "neural": "heart", "espeak": "en-us"}
TEXT = "This is the **first** sentence. Here comes the second one! And a third."


@pytest.fixture(scope="module")
def stand_in():
    with GttsStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def engine(stand_in):
    espeak = [[files.library, files.data] for files in find_espeak()]
    return SpeechEngine(
        {"espeak": espeak, "gtts_url": stand_in.url, "neural_threads": 1, "neural_download": False}
    )


def ask(serving: SpeechEngine, /, **question: object) -> list[protocol.Message | None]:
    header = {
        "text": TEXT, "engine": "espeak", "language": "en", "format": "wav", "speed": 1.0, "pitch": 1.0,
        "within_seconds": 5.0, **question,
    }  # fmt: skip
    return list(serving.open({"voice": VOICES[header["engine"]], **header}))


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
@pytest.mark.parametrize("name", VOICES)
def test_each_synthesizer_fills_each_format(engine, name, format):
    start, *middle, end = ask(engine, engine=name, format=format)
    assert start.header["kind"] == "start"
    assert (start.header["engine"], start.header["voice"]) == (name, VOICES[name])
    assert all(len(message.payload) <= 1 << 20 for message in middle if message)
    data = b"".join(message.payload for message in middle if message)
    if format == "pcm":
        seconds, loudest = len(data) / 48000, max(data)
    else:
        with av.open(io.BytesIO(data)) as container:
            frames = list(container.decode(audio=0))
        assert {frame.layout.nb_channels for frame in frames} == {1}
        assert frames[0].sample_rate in (start.header["sample_rate"], 48000)  # opus decodes at 48 kHz
        seconds = sum(frame.samples for frame in frames) / frames[0].sample_rate
        loudest = max(abs(frame.to_ndarray().astype(float)).max() for frame in frames)
    assert loudest > 0
    assert seconds > 2
    assert seconds == pytest.approx(end.header["duration"], abs=0.06)


@pytest.mark.parametrize(("name", "steps"), [("neural", 3), ("espeak", 3), ("gtts", 1)])
def test_a_step_ends_after_each_piece(engine, name, steps):
    messages = ask(engine, engine=name)
    assert messages.count(None) == steps
    assert messages[1].header["kind"] == "audio"
    assert (
        len(messages[1].payload) < sum(len(message.payload) for message in messages if message) or steps == 1
    )


def test_googles_own_mp3_is_passed_on(engine, stand_in):
    messages = ask(engine, engine="gtts", format="mp3", text="Hello there.")
    assert messages[1].payload == stand_in.sounds[-1]


@pytest.mark.parametrize("name", VOICES)
@pytest.mark.parametrize("speed", [0.25, 4.0])
def test_every_speed_is_kept(engine, name, speed):
    normal, changed = (ask(engine, engine=name, speed=each)[-1].header["duration"] for each in (1.0, speed))
    assert changed == pytest.approx(normal / speed, rel=0.35)


def test_a_wave_that_is_stored_says_its_size(engine):
    messages = ask(engine, text="Hello.")
    ((offset, header),) = messages[-1].header["patches"]
    data = b"".join(message.payload for message in messages if message)
    assert offset == 0
    assert int.from_bytes(bytes.fromhex(header)[40:44], "little") == len(data) - 44


def test_nothing_to_say_is_the_requests_fault(engine):
    with pytest.raises(protocol.Refused) as refusal:
        ask(engine, text="![](a.png)")
    assert refusal.value.code == "nothing_to_say"
