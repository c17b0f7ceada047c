"""
What is heard of texts as people write them: a table of written texts and the words they should sound like.

Both are turned into phonemes the way each engine does it, and those are compared: no recording, no chance.
"""

import csv
import re
from pathlib import Path

import pytest

from app.engine_process.tts.english import normalize
from app.engine_process.tts.espeak import SIGN_FIRST
from app.engine_process.tts.neural import Neural
from app.engine_process.tts.text import clean
from tests.phonemes import Phonemes

with (Path(__file__).parents[2] / "data" / "said.tsv").open(encoding="utf-8") as file:
    TABLE = [
        (row["language"], row["written"], row["heard"])
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    ]
# Stress, pauses and the joints of words and clauses differ between "five, zero" and "five zero".
NO_SOUND = re.compile(r"[\s,.;:!?'%=#@|_~ˈˌ—…“”\"()-]")


@pytest.fixture(scope="module")
def phonemes():
    return Phonemes()


@pytest.fixture(scope="module")
def neural():
    return Neural()._voice("heart")


def said(written: str, language: str) -> str:
    return SIGN_FIRST.sub(r"\2 \1", normalize(clean(written)[0], language))


def test_the_table_is_large_and_in_words():
    assert len(TABLE) > 200
    assert not [heard for _, _, heard in TABLE if re.search(r"[\d$€£%<>=*/@#&]", heard)]


@pytest.mark.parametrize(("language", "written", "heard"), TABLE)
def test_espeak_says_the_words(phonemes, language, written, heard):
    voice = {"en-gb": "en-gb-x-rp"}.get(language, language)
    ours, wanted = phonemes.of(said(written, language), voice), phonemes.of(heard, voice)
    assert NO_SOUND.sub("", ours) == NO_SOUND.sub("", wanted), said(written, language)


@pytest.mark.parametrize(("language", "written", "heard"), [row for row in TABLE if row[0] == "en-us"])
def test_the_neural_voice_says_the_words(neural, language, written, heard):
    ours, wanted = (" ".join(neural.phonemize(text)) for text in (said(written, language), heard))
    assert NO_SOUND.sub("", ours) == NO_SOUND.sub("", wanted), said(written, language)
