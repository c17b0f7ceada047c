import pytest

from app.engine_process.stt.words import Pace, Span, Word, join_punctuation, place


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
    spans = [Span(60.0, 60.6, []), Span(60.6, 61.2, [])]
    assert place(spoken(" One", " two", " three", " four"), spans, [2, 2], 60.0, 59.9) == pytest.approx(61.2)
    assert [[each.text for each in span.words] for span in spans] == [[" One", " two"], [" three", " four"]]
    assert spans[1].words[0].start == 60.6


def test_a_word_does_not_reach_back_over_the_pause_before_it():
    words = [word(" Late", 0.0, 5.0), *(word(" on", 5 + n * 0.3, 5.3 + n * 0.3) for n in range(5))]
    spans = [Span(0.0, 6.5, [])]
    place(words, spans, [6], 0.0, 0.0)
    assert words[0].start == pytest.approx(5.0 - 0.6)  # twice the median
    assert spans[0].start == words[0].start


def test_a_full_stop_does_not_swallow_the_pause_after_it():
    words = [*spoken(" One", " two", " three"), word(".", 0.9, 4.0), word(" Four", 4.0, 4.3)]
    place(words, [Span(0.0, 4.3, [])], [5], 0.0, 0.0)
    assert words[2].text == " three."
    assert Pace(words).usual == pytest.approx(0.3)


def test_no_words_leave_a_segment_as_it_was():
    span = Span(1.0, 2.0, [])
    assert place([], [span], [0], 0.0, 0.5) == 0.5
    assert (span.start, span.end) == (1.0, 2.0)
