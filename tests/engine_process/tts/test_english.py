"""What the table of test_said.py does not cover: what is left alone, and what nobody means."""

import random

import pytest

from app.engine_process.tts.english import normalize

PIECES = [
    *"0123456789.,:;/-–+*^$€%'\"#@&()<>=~_ aAIVx",
    "1.5",
    "US$",
    " to ",
    "kg",
    "Dr. ",
    "Jan ",
    "e.g.",
    "^(",
    "²",
]


@pytest.mark.parametrize("language", ["de", "fr", "es", "ru", "eno"])
def test_other_languages_are_left_to_their_voices(language):
    assert normalize("5 km, $5, z. B. 1.250,50", language) == "5 km, $5, z. B. 1.250,50"


@pytest.mark.parametrize(
    "text",
    [
        'Nothing here is anything but words, is it? "No," she said; it isn\'t!',
        "Mary's well-known brother-in-law (a doctor) sang: la, la.",
        "Plan B. The end of vitamin C. It was I. Dr No",
    ],
)
def test_words_stay_as_they_are(text):
    assert normalize(text, "en") == text


def test_paragraphs_stay_apart():
    assert normalize("Costs $5\n\n1 km\n", "en-US") == "Costs five dollars\n\none kilometer\n"


@pytest.mark.parametrize("seed", range(40))
def test_no_figure_is_left_whatever_comes(seed):
    chance = random.Random(seed)
    text = "".join(chance.choice(PIECES) for _ in range(300))
    assert not any(character.isdigit() for character in normalize(text, "en"))


@pytest.mark.parametrize(
    "piece", ["1", "1-", "1.", "a.", "$", "1 ", "1,", "/a", "a@", "I", "1/2 ", "x^", "1e", "Jan 1, "]
)
def test_the_longest_text_is_read_piece_by_piece(piece):
    assert normalize(piece * (100_000 // len(piece)), "en")
