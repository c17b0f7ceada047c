"""The engine as its owner sees it: messages out for a question in."""

import io
import json
from collections import Counter
from pathlib import Path

import av
import pytest

from app.engine import protocol
from app.engine_process.tts.speech import SpeechEngine, split_by_voice
from app.engine_process.tts.synthesizer import LOUDNESS, SpeechOptions
from app.speech.formats import AUDIO
from app.speech.voices import find_espeak
from tests.gtts_stand_in import GttsStandIn, mp3
from tests.loudness import lufs

VOICES = {"gtts": "en", "neural": "heart", "pico": "en-US", "espeak": "en-us"}
SENTENCES = json.loads((Path(__file__).parents[2] / "data" / "sentences.json").read_text())
TEXT = "This is the **first** sentence. Here comes the second one! And a third."


@pytest.fixture(scope="module")
def stand_in():
    mp3(TEXT.replace("*", ""))  # so that the first who asks for it is answered in time
    with GttsStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def engine(stand_in):
    return SpeechEngine({"espeak": {"candidates": find_espeak()}, "gtts": {"url": stand_in.url}})


def ask(serving: SpeechEngine, /, **question: object) -> list[protocol.Message | None]:
    header = {
        "text": TEXT, "engine": "espeak", "language": "en", "speed": 1.0, "pitch": 1.0, "within_seconds": 5.0,
        "scripts": ["latin"], "others": {}, **question, "format": AUDIO[question.get("format", "wav")]._asdict(),
    }  # fmt: skip
    return list(serving.open({"voice": VOICES[header["engine"]], **header}))


@pytest.mark.parametrize("format", AUDIO)
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


@pytest.mark.parametrize("name", ["neural", "pico", "espeak"])
def test_engines_are_equally_loud(engine, name):
    text = " ".join(SENTENCES["en"][:5])
    pcm = b"".join(
        message.payload for message in ask(engine, engine=name, text=text, format="pcm") if message
    )
    assert abs(lufs(pcm, 24000) - LOUDNESS) < 1.5


@pytest.mark.parametrize(("name", "steps"), [("neural", 3), ("pico", 3), ("espeak", 3), ("gtts", 1)])
def test_a_step_ends_after_each_piece(engine, name, steps):
    messages = ask(engine, engine=name)
    assert messages.count(None) == steps
    assert messages[1].header["kind"] == "audio"
    assert (
        len(messages[1].payload) < sum(len(message.payload) for message in messages if message) or steps == 1
    )


def test_googles_own_mp3_is_passed_on(engine, stand_in):
    mp3("Hello there.")
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


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "The word 你好 means hello.",
            [("en-us", "The word ", False), ("cmn", "你好 ", False), ("en-us", "means hello.", True)],
        ),
        ("They say “你好”.", [("en-us", "They say “", False), ("cmn", "你好”.", True)]),
        ("你好，世界。\nText 1", [("cmn", "你好，世界。\n", True), ("en-us", "Text 1", True)]),
        ("你好 1 Привет", [("cmn", "你好", False), ("en-us", " 1 ", False), ("ru", "Привет", True)]),
        ("All of it. α", [("en-us", "All of it. α", True)]),
    ],
)
def test_each_script_has_a_voice(text, parts):
    options = SpeechOptions("en-us", "en", others={"han": ("cmn", "cmn"), "cyrillic": ("ru", "ru")})
    found = split_by_voice(text, options, Counter())
    assert [(options.voice, part, options.final_pause) for part, options in found] == parts


def test_a_word_in_another_script_is_heard_within_its_sentence(engine):
    others = {"han": ["cmn", "cmn"]}
    start, *middle, _ = ask(engine, text="The word 你好 means hello.", others=others)
    ours = seconds_of_pieces(middle)
    chinese = ask(engine, text="你好", voice="cmn", language="cmn", scripts=["han"])[1:-1]
    assert len(ours) == 3
    assert (
        0.6 * sum(seconds_of_pieces(chinese)) < ours[1] <= sum(seconds_of_pieces(chinese))
    )  # less its pause
    assert start.header["skipped"] == {}


def seconds_of_pieces(messages: list[protocol.Message | None]) -> list[float]:
    """How long the audio of each step is, in a session of espeak-ng's, 16 bits at 22050 Hz."""
    pieces = [0.0]
    for message in messages:
        if message is None:
            pieces.append(0.0)
        else:
            pieces[-1] += len(message.payload) / 44100
    return pieces[:-1]


def test_google_is_asked_for_each_script_in_its_language(engine, stand_in):
    for part in ("The word", "你好", "means hello."):
        mp3(part)
    stand_in.texts.clear(), stand_in.languages.clear()
    ask(engine, engine="gtts", text="The word 你好 means hello.", others={"han": ["zh", "zh"]})
    assert [*zip(stand_in.languages, stand_in.texts, strict=True)] == [
        ("en", "The word"), ("zh", "你好"), ("en", "means hello."),
    ]  # fmt: skip


def test_letters_no_voice_can_say_are_counted(engine):
    start, *_ = ask(engine, text="The word 你好 and བོད.", others={"han": ["cmn", "cmn"]})
    assert start.header["skipped"] == {"tibetan": 2}


def test_a_text_of_which_no_letter_can_be_said_is_refused(engine):
    with pytest.raises(protocol.Refused, match="no word that this voice can say"):
        ask(engine, text="```\nprint\n```\n\n你好")


def test_nothing_to_say_is_the_requests_fault(engine):
    with pytest.raises(protocol.Refused) as refusal:
        ask(engine, text="![](a.png)")
    assert refusal.value.code == "nothing_to_say"
