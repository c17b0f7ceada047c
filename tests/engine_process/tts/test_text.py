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
        ("one\r\ntwo\n\n\n  three", "one two\nthree"),
        ("<p>Tom &amp; Jerry&#39;s</p><p>Second &lt; third</p>", "Tom & Jerry's\nSecond < third"),
        ("<ul><li>One</li>\n<li>Two</li></ul>", "One\nTwo"),
        ("a <b>bold</b>ly <a href='x'>linked</a> <i>word</i>", "a boldly linked word"),
        ("one<br>two<hr/>three", "one\ntwo\nthree"),
        ("<speak>Hi<break time='1s'/>you <say-as interpret-as='date'>2026</say-as></speak>", "Hi you 2026"),
        ("<mstts:express-as style='sad'>Oh.</mstts:express-as>", "Oh."),
        ("<!-- no --><!DOCTYPE html><?xml version='1.0'?>yes", "yes"),
        ("Oh, <this cannot be happening> she said", "Oh, this cannot be happening she said"),
        ("<nobody expects this>", "nobody expects this"),
        ("a List<String> or a Map<String, List<Integer>>", "a List String or a Map String, List Integer"),
        ("copy <source-file> and `<div>`", "copy source-file and div"),
        ("3*4*5, a*b*c, 2**8 and *this* **that**", "3*4*5, a*b*c, 2**8 and this that"),
        ("x<sup>2</sup> and H<sub>2</sub>O", "x^2 and H2O"),
        ("[Bob]: Hello\n\n[Ann]: Hi", "[Bob]: Hello\n[Ann]: Hi"),
        ("[link][1]\n\n[1]: https://example.com/a", "link"),
        ("- [x] done\n- [ ] to do", "done\nto do"),
        ("Fish &amp; chips &mdash; AT&T", "Fish & chips — AT&T"),
    ],
)
def test_text_is_made_speakable(written, spoken):
    assert clean(written)[0] == spoken


@pytest.mark.parametrize(
    ("written", "skipped"),
    [
        ("Plain words, 10 of them 👍 *** — <b>bold</b> &amp; $5", {}),
        ("before\n\n```py\nprint(1)\n```\n\nafter", {"code": 6}),
        ("<p>Hi</p>\n<script>let a = 1</script>", {"code": 17}),
        ("See https://user@www.example.com/a?b=c.", {"address": 3}),
        ("See https://example.com.", {}),
    ],
)
def test_letters_that_are_left_out_are_counted(written, skipped):
    assert clean(written)[1] == skipped


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
