import pytest

from app.engine_process.stt.words import Segment, Word, join_punctuation, place, usual_seconds


def word(text, start, end, tokens=1):
    return Word(text, start, end, 0.9, list(range(tokens)))


def spoken(*texts, seconds=0.3):
    """Words one after the other, each as long."""
    return [word(text, number * seconds, (number + 1) * seconds) for number, text in enumerate(texts)]


def test_punctuation_joins_the_word_it_belongs_to():
    words = spoken(' "', "Quoted", '"', " (", "bracketed", ")", ",", " end", ".")
    join_punctuation(words)
    assert [each.text for each in words if each.text] == [' "Quoted"', " (bracketed),", " end."]
    assert sum(len(each.tokens) for each in words) == 9


def test_segments_take_their_words_in_turn_and_times_are_those_of_the_recording():
    segments = [Segment(60.0, 60.6, [], ""), Segment(60.6, 61.2, [], "")]
    assert place(spoken(" One", " two", " three", " four"), segments, [2, 2], 60.0, 59.9) == pytest.approx(
        61.2
    )
    assert [[each.text for each in segment.words] for segment in segments] == [
        [" One", " two"],
        [" three", " four"],
    ]
    assert segments[1].words[0].start == 60.6


def test_a_word_does_not_reach_back_over_the_pause_before_it():
    words = [word(" Late", 0.0, 5.0), *(word(" on", 5 + n * 0.3, 5.3 + n * 0.3) for n in range(5))]
    segments = [Segment(0.0, 6.5, [], "")]
    place(words, segments, [6], 0.0, 0.0)
    assert words[0].start == pytest.approx(5.0 - 0.6)  # twice the median
    assert segments[0].start == words[0].start


def test_a_full_stop_does_not_swallow_the_pause_after_it():
    words = [*spoken(" One", " two", " three"), word(".", 0.9, 4.0), word(" Four", 4.0, 4.3)]
    place(words, [Segment(0.0, 4.3, [], "")], [5], 0.0, 0.0)
    assert words[2].text == " three."
    assert usual_seconds(words) == pytest.approx(0.3)


def test_no_words_leave_a_segment_as_it_was():
    segment = Segment(1.0, 2.0, [], "")
    assert place([], [segment], [0], 0.0, 0.5) == 0.5
    assert (segment.start, segment.end) == (1.0, 2.0)
