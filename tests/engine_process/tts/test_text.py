import pytest

from app.engine import protocol
from app.engine_process.tts.text import clean, sentences


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("# Title\n\nSome **bold** and _thin_ `code`.", "Title\nSome bold and thin code."),
        ("[our docs](https://example.com/a) and ![a cat](cat.png)", "our docs and a cat"),
        ("- one\n- two\n\n3. three", "one\ntwo\n3: three"),
        ("> quoted\n\n---\n\n~~gone~~ kept", "quoted\ngone kept"),
        ("before\n\n```py\nprint(1)\n```\n\nafter", "before\nafter"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a, b,\n1, 2,"),
        ("See https://user:pw@www.example.com:8080/a?b=c, or www.foo.org.", "See example.com, or foo.org."),
        ("Fine 👍🏽 and 👨‍👩‍👧 and 🇩🇪 and 1️⃣", "Fine and and and 1"),
        ("𝗛𝗲𝗹𝗹𝗼 ＡＢＣ, 10² m", "Hello ABC, 10² m"),
        (
            "bell\x07 null\x00 escape\x1b right\u202eleft soft\u00adhyphen",
            "bell null escape rightleft softhyphen",
        ),
        ("<speak>Wait<break time='9s'/> <prosody rate='x-fast'>here</prosody></speak>", "Wait here"),
        ("\x01\x30s[[h@l'oU]]", "0s[[h@l'oU]]"),
        ("a \\[word\\](/wˈɜɹd/) b", "a [word] (/wˈɜɹd/) b"),
        (
            "snake_case_name, 5 * 3 * 2 < 9, $9.99, AT&T, 20°C, #1",
            "snake_case_name, 5 * 3 * 2 < 9, $9.99, AT&T, 20°C, #1",
        ),
        ("می‌خواهم", "می‌خواهم"),
        ("one\r\ntwo\n\n\n  three", "one\ntwo\nthree"),
    ],
)
def test_text_is_made_speakable(written, spoken):
    assert clean(written) == spoken


@pytest.mark.parametrize("text", ["", "😀", "* * *", "<br/>", "```\ncode\n```", "?!", "\x00"])
def test_what_has_no_word_is_refused(text):
    with pytest.raises(protocol.Refused) as refusal:
        clean(text)
    assert (refusal.value.code, refusal.value.param) == ("nothing_to_say", "text")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three? Four… five.", ["One.", "Two!", "Three?", "Four… five."]),
        (
            "Dr. Smith met J. K. Rowling, e.g. here. Then left.",
            ["Dr. Smith met J. K. Rowling, e.g. here.", "Then left."],
        ),
        ("一句。二句！三", ["一句。", "二句！", "三"]),
        ("line\nnext", ["line", "next"]),
    ],
)
def test_sentences_end_where_a_reader_would_pause(text, parts):
    assert list(sentences(text, 400)) == parts


@pytest.mark.parametrize("text", ["x" * 1000, "word " * 200, "a clause, " * 100, "no space,but commas," * 50])
def test_no_part_is_longer_than_the_limit_and_nothing_is_lost(text):
    parts = list(sentences(text, 60))
    assert max(map(len, parts)) <= 60
    assert "".join(parts).replace(" ", "") == text.replace(" ", "")
