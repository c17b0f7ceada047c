import pytest

from app.config import Settings
from app.errors import InvalidRequest, NothingToSay, UnsupportedFormat
from app.speech.chain import Breaker, Chain, SpeakRequest
from app.speech.formats import AUDIO
from app.speech.voices import Voices

VOICES = Voices(Settings(kokoro=False))


def chain(first: str = "auto") -> Chain:
    return Chain(Settings(tts_engine=first), VOICES)


def asked(first: str = "auto", **request: object) -> list[str]:
    return [
        attempt.voice.id
        for attempt in chain(first).attempts(SpeakRequest(**{"text": "Hello.", **request}))
        if attempt.able
    ]


@pytest.mark.parametrize(
    ("first", "request_", "voices"),
    [
        ("auto", {}, ["gtts:en", "neural:heart", "pico:en-us", "espeak:en"]),
        ("auto", {"language": "de"}, ["gtts:de", "pico:de-de", "espeak:de"]),
        ("auto", {"language": "eo"}, ["espeak:eo"]),
        ("auto", {"engine": "espeak"}, ["espeak:en"]),
        ("auto", {"voice": "heart"}, ["neural:heart", "gtts:en", "pico:en-us", "espeak:en-us"]),
        ("auto", {"voice": "espeak:fr"}, ["espeak:fr", "gtts:fr", "pico:fr-fr"]),
        ("auto", {"voice": "de", "language": "de"}, ["gtts:de", "espeak:de", "pico:de-de"]),
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
        ({"engine": "sam"}, InvalidRequest, "engine", "auto, gtts, neural, pico, espeak"),
        ({"format": "ogg"}, UnsupportedFormat, "format", ", ".join(AUDIO)),
        ({"voice": "heart", "language": "de"}, InvalidRequest, "voice", "speaks en-US"),
        ({"language": "xx"}, InvalidRequest, "language", "af, am"),
        ({"language": "klingon!"}, InvalidRequest, "language", "such as en"),
        ({"engine": "neural", "language": "de"}, InvalidRequest, "language", "accepted: en-us"),
        (
            {"text": "你好", "engine": "neural"},
            InvalidRequest,
            "language",
            "has han letters, which neural can't say",
        ),
        ({"text": "བོད་སྐད"}, InvalidRequest, "language", "has tibetan letters"),
        ({"text": "No བོད་སྐད་ཡིག་ག"}, InvalidRequest, "language", "has tibetan letters"),
        (
            {"text": "漢字仮名", "engine": "espeak", "language": "ja"},
            InvalidRequest,
            "language",
            "has han letters",
        ),
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


@pytest.mark.parametrize(
    ("first", "request_", "voices"),
    [
        ("auto", {"text": "你好，世界"}, ["gtts:zh", "espeak:cmn"]),
        ("espeak", {"text": "你好，世界"}, ["espeak:cmn"]),
        ("auto", {"text": "こんにちは"}, ["gtts:ja", "espeak:ja"]),
        ("auto", {"text": "日本語を話します"}, ["gtts:ja"]),
        ("auto", {"text": "안녕하세요"}, ["gtts:ko", "espeak:ko"]),
        ("auto", {"text": "Привет, мир"}, ["gtts:ru", "espeak:ru"]),
        ("auto", {"text": "Привіт, світе"}, ["gtts:uk", "espeak:uk"]),
        ("auto", {"text": "Γειά σου"}, ["gtts:el", "espeak:el"]),
        ("auto", {"text": "שלום עולם"}, ["gtts:iw", "espeak:he"]),
        ("auto", {"text": "مرحبا"}, ["gtts:ar", "espeak:ar"]),
        ("auto", {"text": "گفتگو"}, ["espeak:fa"]),
        ("auto", {"text": "नमस्ते"}, ["gtts:hi", "espeak:hi"]),
        ("auto", {"text": "สวัสดี"}, ["gtts:th", "espeak:th"]),
        ("auto", {"text": "Բարեւ"}, ["espeak:hy"]),
        ("auto", {"text": "გამარჯობა"}, ["espeak:ka"]),
        ("auto", {"text": "হ্যালো"}, ["gtts:bn", "espeak:bn"]),
        ("auto", {"text": "வணக்கம்"}, ["gtts:ta", "espeak:ta"]),
        ("auto", {"text": "ជំរាបសួរ"}, ["gtts:km"]),
        ("auto", {"text": "你好", "language": "en"}, ["gtts:zh", "espeak:cmn"]),
        ("auto", {"text": "你好", "voice": "heart"}, ["gtts:zh", "espeak:cmn"]),
        ("auto", {"text": "hello", "language": "ru"}, ["gtts:ru", "espeak:ru"]),
        ("auto", {"text": "Здраво", "language": "sr"}, ["gtts:sr", "espeak:sr"]),
        (
            "auto",
            {"text": "The word 你好 means hello."},
            ["gtts:en", "espeak:en", "neural:heart", "pico:en-us"],
        ),
        ("neural", {"text": "The word 你好 means hello."}, ["neural:heart"]),
        ("auto", {"text": "The angle α"}, ["gtts:en", "neural:heart", "pico:en-us", "espeak:en"]),
        ("auto", {"text": "A word of Tibetan: བོད"}, ["gtts:en", "neural:heart", "pico:en-us", "espeak:en"]),
    ],
)
def test_the_letters_of_a_text_tell_who_can_say_it(first, request_, voices):
    assert asked(first, **request_) == voices


def test_in_a_mixed_sentence_another_voice_of_the_engine_reads_the_other_script():
    gtts, espeak, neural, pico = chain().attempts(SpeakRequest("The word 你好 means hello."))
    assert {script: voice.id for script, voice in gtts.others.items()} == {"han": "gtts:zh"}
    assert {script: voice.id for script, voice in espeak.others.items()} == {"han": "espeak:cmn"}
    assert (gtts.unreadable, espeak.unreadable, neural.unreadable, pico.unreadable) == (
        {},
        {},
        {"han": 2},
        {"han": 2},
    )


@pytest.mark.parametrize("first", ["neural", "espeak"])
@pytest.mark.parametrize(
    "request_", [{"engine": "gtts"}, {"voice": "gtts:en"}, {"engine": "gtts", "voice": "en"}]
)
def test_an_offline_engine_keeps_every_text_here(first, request_):
    assert "gtts" not in chain(first).engines
    with pytest.raises(InvalidRequest, match="accepted"):
        asked(first, **request_)


@pytest.fixture
def with_kokoro(tmp_path):
    """The first choice's name to a chain where Kokoro's voices are here."""
    (tmp_path / "kokoro" / "voices").mkdir(parents=True)
    (tmp_path / "kokoro" / "kokoro.onnx").touch()
    for name in ("af_heart", "af_bella", "am_onyx", "ff_siwis"):
        (tmp_path / "kokoro" / "voices" / f"{name}.bin").touch()
    voices = Voices(Settings(model_dir=str(tmp_path)))
    return lambda first="auto": Chain(Settings(tts_engine=first), voices)


@pytest.mark.parametrize(
    ("first", "request_", "expected"),
    [
        ("auto", {}, ["gtts:en", "kokoro:af_heart", "neural:heart", "pico:en-us"]),
        ("auto", {"language": "fr"}, ["gtts:fr", "kokoro:ff_siwis", "pico:fr-fr"]),
        ("auto", {"language": "de"}, ["gtts:de", "pico:de-de", "espeak:de"]),
        ("auto", {"voice": "onyx"}, ["gtts:en", "kokoro:am_onyx", "neural:heart"]),
        ("auto", {"voice": "am_onyx"}, ["kokoro:am_onyx", "gtts:en", "neural:heart"]),
        ("kokoro", {"voice": "af_heart(2)+af_bella(1)"}, ["kokoro:af_heart(2)+af_bella(1)"]),
        ("kokoro", {}, ["kokoro:af_heart"]),
        ("auto", {"text": "Это тест.", "language": "ru"}, ["gtts:ru", "espeak:ru"]),
    ],
)
def test_kokoro_stands_between_google_and_the_neural_voice(with_kokoro, first, request_, expected):
    attempts = with_kokoro(first).attempts(SpeakRequest(**{"text": "Hello.", **request_}))
    assert [attempt.voice.id for attempt in attempts if attempt.able][: len(expected)] == expected


def test_an_engine_that_was_not_fetched_is_refused_with_what_fetches_it():
    with pytest.raises(
        InvalidRequest, match=r"voices fetch kokoro.*accepted: auto, gtts, neural, pico, espeak"
    ):
        asked(engine="kokoro")
    with pytest.raises(InvalidRequest, match="voices fetch kokoro"):
        asked("kokoro")


def test_a_language_that_kokoro_does_not_speak_is_refused_with_those_it_does(with_kokoro):
    with pytest.raises(InvalidRequest, match="accepted: en-us, fr") as refused:
        with_kokoro().attempts(SpeakRequest("Guten Tag.", engine="kokoro", language="de"))
    assert refused.value.param == "language"


@pytest.fixture
def breaker(clock):
    return Breaker(clock=clock)


def open_up(breaker: Breaker) -> None:
    for _ in range(3):
        breaker.failed()


def test_it_asks_until_three_failed_in_a_row(breaker):
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert breaker.allows()
    assert breaker.state == "closed"
    breaker.failed()
    assert not breaker.allows()
    assert (breaker.state, breaker.retry_in_seconds) == ("open", 60)


def test_after_a_while_one_may_try(breaker, clock):
    open_up(breaker)
    clock.advance(60)
    assert breaker.state == "half-open"
    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_a_trial_that_succeeds_closes_it(breaker, clock):
    open_up(breaker)
    clock.advance(60)
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows(), breaker.allows()] == [True, True]


def test_a_trial_that_fails_opens_it_for_as_long_again(breaker, clock):
    open_up(breaker)
    clock.advance(60)
    assert breaker.allows()
    breaker.failed()
    clock.advance(59)
    assert not breaker.allows()
    clock.advance(1)
    assert breaker.allows()


def test_a_trial_nobody_reported_on_does_not_block_it(breaker, clock):
    open_up(breaker)
    clock.advance(60)
    assert breaker.allows()
    clock.advance(60)
    assert breaker.allows()
