import hashlib
from pathlib import Path

import hibari
import pytest
from hibari.g2p import G2P

from app.engine import protocol
from app.engine_process.tts.neural import PHONEME_LIMIT, VOICE_SHA256, Neural
from app.engine_process.tts.pronunciation import Table, build_g2p
from app.engine_process.tts.synthesizer import SpeechOptions
from app.engine_process.tts.text import shortened

ASSETS = Path(hibari.__file__).parent / "assets"
HEART = SpeechOptions("heart", "en-US")
PROSE = (Path(__file__).parents[2] / "data" / "prose.txt").read_text()


@pytest.fixture(scope="module")
def neural():
    return Neural()


def test_every_sentence_is_a_piece_of_speech(neural):
    pieces = list(neural.speak("The first sentence. And the second one, a little longer.", HEART))
    assert len(pieces) == 2
    assert all(len(piece) / 2 / neural.sample_rate > 0.5 and any(piece) for piece in pieces)


def test_the_same_text_sounds_the_same(neural):
    once, again = (b"".join(neural.speak("Nothing changes.", HEART)) for _ in range(2))
    assert once == again


def test_speed_is_the_voices_own(neural):
    slow, fast = (
        sum(map(len, neural.speak("How long does this take?", SpeechOptions("heart", "en-US", speed=speed))))
        for speed in (0.5, 2.0)
    )
    assert slow > 2.5 * fast


@pytest.mark.parametrize("text", ["word " * 200, "x" * 500, "1" * 300])
def test_text_without_an_end_comes_in_pieces(neural, text):
    pieces = list(neural.speak(text, HEART))
    assert len(pieces) > 1
    assert max(map(len, pieces)) / 2 / neural.sample_rate < 60


def test_the_packed_reader_reads_like_the_librarys_own():
    packed, own = build_g2p(ASSETS, british=False), G2P()
    odd = "Dr. Xylquist's $9.99 on 2026-11-22, O'Hara!"
    for sentence in [*hibari.Hibari.split_sentences(PROSE[:4000]), odd]:
        assert packed(sentence) == own(sentence)


def test_the_british_tables_can_be_packed_too():
    assert build_g2p(ASSETS, british=True)("colour") == G2P(british=True)("colour")


def test_a_table_finds_what_it_was_given():
    table = Table(rb'{"b":"x","a\"q":"\u00e9y","empty":{},"o":{"k":null,"n":-1.5},"\u00fc":"\\"}')
    assert dict(table) == {"b": "x", 'a"q': "éy", "empty": {}, "o": {"k": None, "n": -1.5}, "\u00fc": "\\"}
    assert table.get("c", 7) == 7
    assert "b" in table


def test_a_table_that_is_not_one_is_refused():
    with pytest.raises(ValueError, match="not an entry"):
        Table(b'{"a":[1,2]}')


def test_the_voice_is_the_one_that_was_listened_to():
    assert hashlib.sha256((ASSETS / "hibari.onnx").read_bytes()).hexdigest() == VOICE_SHA256["heart"]


def test_a_voice_file_that_was_changed_is_refused(neural, tmp_path, monkeypatch):
    (tmp_path / "bf_emma.int8.onnx").write_bytes(b"something else")
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    with pytest.raises(protocol.Refused, match="is not the one this service knows"):
        list(neural.speak("Hello.", SpeechOptions("emma", "en-GB")))


def test_a_voice_that_would_have_to_be_downloaded_is_not(neural, tmp_path, monkeypatch):
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    with pytest.raises(protocol.Refused, match="is not here"):
        list(neural.speak("Hello.", SpeechOptions("emma", "en-GB")))
    assert list(tmp_path.iterdir()) == []


def test_phonemes_are_cut_between_words():
    chunks = list(shortened("ab " * 300, PHONEME_LIMIT))
    assert max(map(len, chunks)) <= PHONEME_LIMIT
    assert "".join(chunks).replace(" ", "") == "ab" * 300
