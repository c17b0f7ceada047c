import itertools
import json
import re
from pathlib import Path

import pytest

from app.engine_process.tts.espeak import Espeak
from app.engine_process.tts.phonemes import ALPHABET, CUT, PIECE_LIMIT, READERS, clauses, pieces, translate
from app.speech.voices import find_espeak

DATA = Path(__file__).parents[2] / "data"
PROSE = (DATA / "prose.txt").read_text()
SENTENCES = json.loads((DATA / "sentences.json").read_text())


@pytest.fixture(scope="module")
def espeak():
    return Espeak(find_espeak())


@pytest.mark.parametrize("language", sorted(READERS))
def test_a_piece_has_at_most_40_phonemes_and_no_word_is_lost(espeak, language):
    text = " ".join(SENTENCES[language[:2]])
    found = list(pieces(text, language, espeak))
    assert all(0 < len(piece.tokens) <= PIECE_LIMIT for piece in found)
    # On its own "l'" of "l'été" is no word, and Hindi's marks are no letters.
    assert [word for piece in found for word in piece.words] == re.sub(r"[,.?!।¿]", " ", text).split()


@pytest.mark.parametrize(
    "text",
    [
        PROSE[:3000],
        "word " * 200,
        "x" * 500,
        "1" * 300,
        "antidisestablishmentarianism" * 8,
        "a, b; c: " * 90,
        "(((((yes)))))",
        "Wait... what?! «No» – he said - “well”…",
        "e.g. Dr. A. B. Smith of the U.S.A.",
        "3,5 4.5 1:30",
    ],
)
@pytest.mark.parametrize("limit", [PIECE_LIMIT, 20])
def test_whatever_the_text_the_pieces_are_short(espeak, text, limit):
    found = list(pieces(text, "en-us", espeak, limit=limit))
    assert found
    assert all(0 < len(piece.tokens) <= limit for piece in found)


def test_a_piece_ends_where_a_speaker_breathes(espeak):
    text = "She said to the man who had been waiting for the bus, in the rain, that it would not come before evening."
    found = list(pieces(text, "en-us", espeak))
    assert [piece.words[-1] for piece in found if not piece.is_cut][-1] == "evening"
    for piece, following in itertools.pairwise(found):
        if piece.is_cut:
            assert piece.mark == CUT
            assert piece.words[-1] not in ("to", "the", "who", "for", "in", "not")
            assert following.words[0] in ("to", "who", "for", "that", "before")


def test_short_clauses_are_one_piece(espeak):
    (piece,) = pieces("Yes, of course, please.", "en-us", espeak)
    assert piece.words == ["Yes", "of", "course", "please"]
    assert piece.phonemes.count(",") == 2
    assert piece.mark == "."


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("One, two; three: four!", ",;:!"),
        ("A heading", "."),
        ("Really?! Yes (I think), no.", "?,,."),
        ("It costs 3,50 at 1:30", "."),
        ("यह एक घर है।", "."),
        ("Wait... what?", ".?"),
    ],
)
def test_pauses_are_those_of_the_punctuation(text, marks):
    assert "".join(mark for _, mark in clauses(text, ".")) == marks


def test_no_pause_is_made_where_another_voice_goes_on(espeak):
    *_, last = pieces("The word", "en-us", espeak, final_pause=False)
    assert last.mark == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("le pont a été construit", "pˈɔ̃ a"),
        ("les arbres au printemps", "lez ˈaʁbʁ o"),
        ("Les chats et les chiens", "ʃˈa e"),
        ("ils mangent une pomme", "mˈɑ̃ʒ yn"),
        ("C'est un ami de deux ans", "sɛt œ̃n amˈi də dˈøz ˈɑ̃"),
        ("nos petits enfants", "pətˈiz ɑ̃fˈɑ̃"),
        ("quand il dort chez elle", "kɑ̃t il dˈɔʁ ʃez ˈɛl"),
    ],
)
def test_french_words_are_linked_where_speakers_link_them(espeak, text, said):
    (piece,) = pieces(text, "fr", espeak)
    assert piece.phonemes.count(said) == 1


@pytest.mark.parametrize(
    ("ipa", "language", "expected"),
    [
        ("ðə kwˈɪk bɹˈa^ʊn", "en-us", "ðə kwˈɪk bɹˈWn"),
        ("ˌo^ʊvɚ", "en-us", "ˌOvəɹ"),
        ("ɡˈə^ʊ", "en-gb", "ɡˈQ"),
        ("t^ʃˈa^o", "it", "ʧˈao"),
        ("mˈa^ɪ", "es", "mˈI"),
        ("\u4f60 a", "fr", "a"),
    ],
)
def test_phonemes_are_in_kokoros_alphabet(ipa, language, expected):
    assert translate(ipa, language) == expected
    assert set(expected) <= set(ALPHABET)
