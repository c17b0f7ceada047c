"""Kokoro's own voices; `make test-all` fetches them."""

import json
from pathlib import Path

import numpy
import pytest

from app.config import PROJECT
from app.engine import protocol
from app.engine_process.tts.kokoro import Kokoro, mix
from app.engine_process.tts.synthesizer import LOUDNESS, SpeechOptions
from app.speech.voices import find_espeak, kokoro_voices
from tests.loudness import lufs

pytestmark = pytest.mark.long

DIRECTORY = PROJECT / "models" / "kokoro"
SENTENCES = json.loads((Path(__file__).parents[2] / "data" / "sentences.json").read_text())
HEART = SpeechOptions("af_heart", "en-US")
SAMPLES_A_SECOND = 24000


@pytest.fixture(scope="module")
def kokoro():
    if not DIRECTORY.is_dir():
        pytest.skip("Kokoro's voices are not here: python -m app voices fetch kokoro")
    return Kokoro(DIRECTORY, find_espeak(), threads=2)


def heard(pieces) -> list[numpy.ndarray]:
    return [numpy.frombuffer(piece, "<i2").astype(float) for piece in pieces]


@pytest.mark.parametrize(
    "key", ["af_heart", "bm_george", "ef_dora", "ff_siwis", "hm_omega", "im_nicola", "pm_alex"]
)
def test_every_language_is_spoken(kokoro, key):
    voice = next(voice for _, voice in kokoro_voices(DIRECTORY) if voice.key == key)
    text = SENTENCES[voice.language[:2]][0]
    spoken = numpy.concatenate(heard(kokoro.speak(text, SpeechOptions(key, voice.language))))
    assert 1.5 < len(spoken) / SAMPLES_A_SECOND < 8
    assert 3000 < abs(spoken).max() < 32767


@pytest.mark.parametrize(
    "text",
    [
        "Stop.",
        "It was late, and nobody came; the lamp, still burning, smoked!",
        "She sells seashells by the sea shore of this small island in the south of the country where we were born",
        "Yes? No: perhaps...",
    ],
)
def test_no_piece_clicks_or_lacks_its_end(kokoro, text):
    """It begins and ends in silence: what is louder there than -36 dB of its peak would be cut speech."""
    for piece in heard(kokoro.speak(text, HEART)):
        edge = int(0.01 * SAMPLES_A_SECOND)
        assert max(abs(piece[0]), abs(piece[-1])) < 30
        for samples in (piece[:edge], piece[-edge:]):
            assert numpy.sqrt((samples**2).mean()) < abs(piece).max() / 64


@pytest.mark.parametrize(
    "key", ["am_adam", "bf_isabella", "em_alex", "hf_alpha", "if_sara", "af_nova+bf_isabella(2)"]
)
def test_its_voices_are_as_loud_as_the_other_engines(kokoro, key):
    language = next(
        voice.language for _, voice in kokoro_voices(DIRECTORY) if voice.key == key.partition("+")[0]
    )
    pieces = kokoro.speak(" ".join(SENTENCES[language[:2]][:3]), SpeechOptions(key, language))
    assert abs(lufs(b"".join(pieces), SAMPLES_A_SECOND) - LOUDNESS) < 2


def test_the_times_of_words_are_those_of_their_sound(kokoro):
    """Words after a pause begin where the sound begins again."""
    options = SpeechOptions("af_heart", "en-US", words=[])
    text = "Yes, sir. The door in the old wall was open until the rain came."
    for samples in kokoro.speak(text, options):
        (piece,), words = heard([samples]), list(options.words)
        options.words.clear()
        assert words == sorted(words, key=lambda word: word[1])
        (loud,) = numpy.nonzero(abs(piece) > 0.1 * abs(piece).max())
        first, last = loud[0] / SAMPLES_A_SECOND, loud[-1] / SAMPLES_A_SECOND
        assert abs(words[0][1] - first) < 0.15
        assert last - 0.1 < words[-1][2] <= len(piece) / SAMPLES_A_SECOND


def test_a_text_without_an_end_comes_in_short_pieces(kokoro):
    pieces = heard(kokoro.speak("and on it goes without a stop " * 8, HEART))
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 6 * SAMPLES_A_SECOND


def test_the_same_text_sounds_the_same(kokoro):
    once, again = (b"".join(kokoro.speak("Nothing changes.", HEART)) for _ in range(2))
    assert once == again


def test_speed_is_the_models_own(kokoro):
    slow, fast = (
        sum(
            map(
                len, kokoro.speak("How long does this take?", SpeechOptions("af_heart", "en-US", speed=speed))
            )
        )
        for speed in kokoro.speeds
    )
    assert slow > 2 * fast


def test_a_mixture_is_between_its_voices(kokoro):
    text = "A mixture of voices."
    mixed, alone, weighed = (
        b"".join(kokoro.speak(text, SpeechOptions(voice, "en-US")))
        for voice in ("af_heart+am_adam", "af_heart", "af_heart(1)+am_adam(0)")
    )
    assert mixed != alone
    assert weighed == alone
    assert [share for _, share in mix(DIRECTORY / "voices", "af_heart(2)+af_bella(1)")] == [2 / 3, 1 / 3]


@pytest.mark.parametrize("voice", ["nobody", "af_nobody", "../af_heart", "af_heart(0)", "af_heart+"])
def test_a_voice_that_is_not_here_is_refused(kokoro, voice):
    with pytest.raises(protocol.Refused, match="has no voice"):
        list(kokoro.speak("Hello.", SpeechOptions(voice, "en-US")))
