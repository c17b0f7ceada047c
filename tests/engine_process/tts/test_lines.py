"""What one sentence is, however its lines were broken; and what stays apart."""

import textwrap

import pytest

from app.engine_process.tts.text import clean

PROSE = (
    "When the President of the United States came to London in June, he was met by the Lord Mayor and by a crowd of "
    "about 300 people who had waited since Monday for a glimpse of Air Force One, and of twenty-one well-known guests."
)
CHINESE = "我们今天去了很远的地方看见了很多人和他们住的房子还有河边的树林和山上的小路觉得非常好看所以明天还要再去一次。"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", " \n", "\n  "])
@pytest.mark.parametrize("width", [34, 40, 60, 72, 80])
@pytest.mark.parametrize("before", ["", "Some *marked* words.\n\n", "> ", "- "])
def test_wrapped_prose_is_one_line(width, end, before):
    lines = textwrap.wrap(PROSE, width)
    assert len(lines) > 2
    between = end + "> " if before == "> " else end
    assert clean(before + between.join(lines))[0].splitlines()[-1] == PROSE


@pytest.mark.parametrize("width", [20, 30, 40])
def test_a_script_without_spaces_is_joined_without_one(width):
    lines = [CHINESE[at : at + width] for at in range(0, len(CHINESE), width)]
    assert clean("\n".join(lines))[0] == CHINESE


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("This is an exam-\nple of hyphen-\nation", "This is an example of hyphenation"),
        (
            "some twenty-\none well-\nknown Anglo-\nSaxon poets",
            "some twenty-one well-known Anglo-Saxon poets",
        ),
        ("the years 1914-\n1918 were", "the years 1914-1918 were"),
        ("soft\u00ad\nware", "software"),
        (
            "I have met Dr.\nSmith and the\nQueen, who said\nnothing.",
            "I have met Dr. Smith and the Queen, who said nothing.",
        ),
        ("cats, dogs, etc.\nand more of it", "cats, dogs, etc. and more of it"),
        ("He said\n“and so be it” twice", "He said “and so be it” twice"),
    ],
)
def test_ends_of_lines_within_a_sentence(written, spoken):
    assert clean(written)[0] == spoken


@pytest.mark.parametrize(
    "lines",
    [
        ["milk", "eggs", "bread"],
        ["Introduction", "This is the first paragraph of a text that is long enough."],
        ["John Smith", "123 Main Street", "Springfield, IL 62704"],
        ["Twinkle, twinkle, little star", "How I wonder what you are", "Up above the world so high"],
        ["Whose woods these are I think I know", "His house is in the village though"],
        ["• one thing", "• another thing"],
        ["a) the first of these", "b) the second"],
        ["Is it?", "it is.", "Yes!"],
        ["The following is true:", "nothing is"],
        ["Chapter One", "The Beginning"],
    ],
)
def test_lines_that_stand_for_themselves_stay_apart(lines):
    assert clean("\n".join(lines))[0].split("\n") == lines


def test_a_blank_line_ends_a_paragraph_in_mid_sentence():
    assert clean("one line\n \nand another")[0] == "one line\nand another"
