import pytest

from app.speech.service import align


def times(text: str, heard: str, seconds: float = 10.0) -> list[tuple[str, float, float]]:
    """*text* aligned with words that were heard a second each, from the first second on."""
    words = heard.split()
    return align(text.split(), [(word, at, at + 1) for at, word in enumerate(words, 1)], seconds)


def test_words_have_the_times_they_were_heard_at():
    assert times("Good morning, all.", "good Morning all") == [
        ("Good", 1, 2),
        ("morning,", 2, 3),
        ("all.", 3, 4),
    ]


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("It costs $5 today.", "It costs five dollars today"),
        ("The cat sat on the mat.", "The cat on the the mat"),
        ("Nothing of this was heard.", ""),
        ("a b c", "x y z"),
        ("again and again and again", "again and again"),
        ("1 2 3 4", "three"),
    ],
)
def test_every_word_is_there_once_in_order_and_within_the_recording(text, heard):
    found = times(text, heard)
    assert [word for word, _, _ in found] == text.split()
    edges = [edge for _, start, end in found for edge in (start, end)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= 10.0


def test_words_that_were_not_heard_share_the_time_between_those_that_were():
    found = {
        word: (start, end) for word, start, end in times("It costs $5 today.", "It costs five dollars today")
    }
    assert found["costs"] == (2, 3)
    assert found["$5"] == (3, 5)
    assert found["today."] == (5, 6)
