import pytest

from app.errors import InvalidRequest, NothingToSay, UnsupportedFormat
from app.speech.chain import Chain, SpeakRequest
from app.speech.voices import Voices, find_espeak

VOICES = Voices(find_espeak())


def chain(first: str = "auto") -> Chain:
    return Chain(first, "en", 4096, VOICES)


def asked(first: str = "auto", **request: object) -> list[str]:
    return [
        attempt.voice.id for attempt in chain(first).attempts(SpeakRequest(**{"text": "Hello.", **request}))
    ]


@pytest.mark.parametrize(
    ("first", "request_", "voices"),
    [
        ("auto", {}, ["gtts:en", "neural:heart", "espeak:en"]),
        ("auto", {"language": "de"}, ["gtts:de", "espeak:de"]),
        ("auto", {"language": "eo"}, ["espeak:eo"]),
        ("auto", {"engine": "espeak"}, ["espeak:en"]),
        ("auto", {"voice": "heart"}, ["neural:heart", "gtts:en", "espeak:en-us"]),
        ("auto", {"voice": "espeak:fr"}, ["espeak:fr", "gtts:fr"]),
        ("auto", {"voice": "de", "language": "de"}, ["gtts:de", "espeak:de"]),
        ("neural", {}, ["neural:heart"]),
        ("neural", {"engine": "auto"}, ["neural:heart"]),
        ("neural", {"engine": "espeak"}, ["espeak:en"]),
        ("gtts", {}, ["gtts:en"]),
    ],
)
def test_who_is_asked_and_in_what_order(first, request_, voices):
    assert asked(first, **request_) == voices


@pytest.mark.parametrize(
    ("request_", "error", "param", "accepted"),
    [
        ({"text": " \n"}, InvalidRequest, "text", "send the text"),
        ({"text": "😀 🎉"}, NothingToSay, "text", "no word or number"),
        ({"text": "x" * 4097}, InvalidRequest, "text", "at most 4096"),
        ({"voice": "bob"}, InvalidRequest, "voice", "gtts:af"),
        ({"engine": "sam"}, InvalidRequest, "engine", "auto, gtts, neural, espeak"),
        ({"format": "ogg"}, UnsupportedFormat, "format", "mp3, opus, aac, flac, wav, pcm"),
        ({"voice": "heart", "language": "de"}, InvalidRequest, "voice", "speaks en-US"),
        ({"language": "xx"}, InvalidRequest, "language", "af, am"),
        ({"language": "klingon!"}, InvalidRequest, "language", "such as en"),
        ({"engine": "neural", "language": "de"}, InvalidRequest, "language", "accepted: en-us"),
        ({"speed": 0}, InvalidRequest, "speed", "0.25 to 4"),
        ({"speed": float("nan")}, InvalidRequest, "speed", "0.25 to 4"),
        ({"pitch": 3}, InvalidRequest, "pitch", "0.5 to 2"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_accepted(request_, error, param, accepted):
    with pytest.raises(error) as refusal:
        asked(**request_)
    assert refusal.value.param == param
    assert accepted in refusal.value.message


@pytest.mark.parametrize("first", ["neural", "espeak"])
@pytest.mark.parametrize(
    "request_", [{"engine": "gtts"}, {"voice": "gtts:en"}, {"engine": "gtts", "voice": "en"}]
)
def test_an_offline_engine_keeps_every_text_here(first, request_):
    assert "gtts" not in chain(first).engines
    with pytest.raises(InvalidRequest, match="accepted"):
        asked(first, **request_)
