"""gTTS against a local stand-in for Google's endpoint: there is no network in tests."""

import io

import av
import pytest

from app.engine import protocol
from app.engine_process.tts.gtts import PART_LIMIT, Gtts, mp3_seconds, parts
from app.engine_process.tts.synthesizer import SpeechOptions
from tests.gtts_stand_in import GttsStandIn, mp3

ENGLISH = SpeechOptions("en", "en", within_seconds=5.0)


@pytest.fixture
def stand_in():
    with GttsStandIn() as stand_in:
        yield stand_in


def test_speech_comes_part_by_part(stand_in):
    text = "This is the first sentence of a longer text. " * 4
    for part in parts(text):
        mp3(part)  # so that it is answered in time
    pieces = list(Gtts(stand_in.url).speak(text, ENGLISH))
    assert len(pieces) == len(stand_in.texts) == 2
    assert " ".join(stand_in.texts) == text.strip()
    assert all(len(piece) / 2 / 24000 > 2 and any(piece) for piece in pieces)


@pytest.mark.parametrize(
    "text", ["word " * 100, "x" * 450, "One. Two. Three. " * 20, "sentence, with commas, " * 20]
)
def test_no_part_is_longer_than_google_takes(text):
    cut = list(parts(text))
    assert max(map(len, cut)) <= PART_LIMIT
    assert "".join(cut).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("429", "it answered 429"),
        ("500", "it answered 500"),
        ("redirect", "it answered 302"),
        ("html", "holds no audio"),
        ("no audio", "holds no audio"),
        ("not mp3", "not mp3"),
    ],
)
def test_a_bad_answer_lets_the_next_engine_speak(stand_in, behaviour, reason):
    stand_in.behaviour = behaviour
    with pytest.raises(protocol.Refused, match=reason) as refusal:
        list(Gtts(stand_in.url).speak("Hello there.", ENGLISH))
    assert refusal.value.code == "synthesis_failed"
    assert len(stand_in.texts) == 1


def test_an_endpoint_that_says_nothing_is_given_up(stand_in):
    stand_in.behaviour = "silence"
    with pytest.raises(protocol.Refused, match="did not answer within"):
        list(Gtts(stand_in.url).speak("Hello there.", SpeechOptions("en", "en", within_seconds=0.3)))


def test_no_network_is_a_reason():
    with pytest.raises(protocol.Refused, match="can't be reached"):
        list(Gtts("http://127.0.0.1:9/nothing").speak("Hello there.", ENGLISH))


def test_the_length_of_mp3_is_read_from_its_frames():
    sound = mp3("How long is this?")
    with av.open(io.BytesIO(sound)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert mp3_seconds(sound) == pytest.approx(samples / 24000, abs=0.001)
    assert mp3_seconds(b"this is not mp3") == 0
