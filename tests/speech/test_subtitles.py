import itertools

import pytest
import srt
import webvtt

from app.speech import subtitles
from app.speech.transcription import Segment, Transcription, Word

DONE = Transcription("")  # of a length that is not known


def segment(start: float, end: float, text: str, words: list[Word] | None = None) -> Segment:
    return Segment(0, 0, start, end, text, [], 0.0, -0.3, 1.2, 0.0, words or [])


PROSE = (
    " It is a truth universally acknowledged, that a single man in possession of a good fortune must be in"
    " want of a wife. However little known the feelings or views of such a man may be on his first entering"
    " a neighbourhood, this truth is so well fixed in the minds of the surrounding families."
)


def parsed_srt(segments):
    return list(srt.parse("".join(subtitles.srt(segments, DONE)), ignore_errors=False))


def parsed_vtt(segments):
    return list(webvtt.from_string("".join(subtitles.vtt(segments, DONE))))


def words_of(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("read", [parsed_srt, parsed_vtt])
def test_a_parser_reads_back_what_was_said(read):
    cues = read([segment(0.5, 17.5, PROSE), segment(18, 20, " That is all.")])
    texts = [getattr(cue, "content", None) or cue.text for cue in cues]
    assert words_of(" ".join(texts)) == words_of(PROSE + " That is all.")


def test_lines_are_short_and_cues_can_be_read_in_time():
    cues = list(subtitles.cues([segment(0, 17, PROSE)], DONE))
    assert len(cues) >= 4
    for cue in cues:
        assert 1 <= len(cue.lines) <= 2
        assert all(len(line) <= 42 for line in cue.lines)
        assert 1.0 <= cue.end - cue.start <= 7.0


def test_cues_begin_where_sentences_do():
    cues = list(subtitles.cues([segment(0, 17, PROSE)], DONE))
    assert any(" ".join(cue.lines).endswith("of a wife.") for cue in cues)


def test_nothing_is_shown_over_something_else():
    overlapping = [
        segment(0, 4, " One."),
        segment(3, 3, " Two."),
        segment(3, 5, " Three."),
        segment(5, 5.2, " Four."),
    ]
    cues = list(subtitles.cues(overlapping, DONE))
    assert len(cues) == 4
    for one, other in itertools.pairwise(cues):
        assert one.start < one.end <= other.start


def test_a_short_word_stays_for_a_second():
    (cue,) = subtitles.cues([segment(10, 10.2, " Yes.")], Transcription("", duration_seconds=60))
    assert (cue.start, cue.end) == (10, 11)


def test_a_length_that_is_known_at_the_end_counts():
    done = Transcription("")

    def found():
        yield segment(10, 10.2, " Yes.")
        done.duration_seconds = 60

    (cue,) = subtitles.cues(found(), done)
    assert cue.end == 11


@pytest.mark.parametrize(("duration", "end"), [(10.5, 10.5), (10.2, 10.2), (0.0, 10.2)])
def test_no_cue_ends_after_the_recording(duration, end):
    *_, cue = subtitles.cues(
        [segment(8, 9.9, " Well?"), segment(10, 10.2, " Yes.")], Transcription("", duration_seconds=duration)
    )
    assert (cue.start, cue.end) == (10, end)


def test_a_long_pause_over_few_words_is_not_captioned_all_along():
    (cue,) = subtitles.cues([segment(0, 28, " Hello.")], DONE)
    assert cue.end == 7.0


def test_word_times_decide_when_a_cue_begins():
    words = [Word(f" word{number}", number * 2.0, number * 2.0 + 0.5, 1.0) for number in range(6)]
    cues = list(subtitles.cues([segment(0, 30, "".join(word.word for word in words), words)], DONE))
    starts = {word.start for word in words}
    assert len(cues) > 1
    assert {cue.start for cue in cues} <= starts


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "00:00:00,000"),
        (59.9996, "00:01:00,000"),
        (3599.9994, "00:59:59,999"),
        (3599.9996, "01:00:00,000"),
        (3600, "01:00:00,000"),
        (86399.5, "23:59:59,500"),
        (360000, "100:00:00,000"),
    ],
)
def test_times_carry_over(seconds, written):
    assert subtitles.clock(seconds, ",") == written


def test_a_cue_over_the_hour_is_read_back():
    (cue,) = parsed_srt([segment(3599.5, 3601.25, " Around the hour.")])
    assert (cue.start.total_seconds(), cue.end.total_seconds()) == (3599.5, 3601.25)
    (cue,) = parsed_vtt([segment(3599.5, 3601.25, " Around the hour.")])
    assert (cue.start, cue.end) == ("00:59:59.500", "01:00:01.250")


HOSTILE = " Is 1 < 2 & 3 > 2 --> yes? ----> So"


def test_webvtt_escapes_what_it_would_read_as_markup():
    written = "".join(subtitles.vtt([segment(0, 3, HOSTILE)], DONE))
    assert "1 &lt; 2 &amp; 3 &gt; 2 --&gt; yes?" in written.replace("\n", " ")
    assert len(list(webvtt.from_string(written))) == 1


def test_an_arrow_in_the_text_is_no_new_cue():
    (cue,) = parsed_srt([segment(0, 3, HOSTILE)])
    assert "-->" not in cue.content


def test_words_without_spaces_are_cut_to_half_the_characters():
    text = "これは日本語の長い文章です。字幕として読みやすい長さに分けられる必要があります。みなさん。"
    cues = list(subtitles.cues([segment(0, 12, text)], DONE))
    assert "".join("".join(cue.lines) for cue in cues) == text
    assert all(len(line) <= 21 for cue in cues for line in cue.lines)


def test_a_word_longer_than_a_line_is_cut():
    (cue,) = subtitles.cues([segment(0, 3, " " + "a" * 60)], DONE)
    assert [len(line) for line in cue.lines] == [42, 18]


def test_no_speech_makes_no_cues():
    assert "".join(subtitles.srt([], DONE)) == ""
    assert "".join(subtitles.vtt([], DONE)) == "WEBVTT\n\n"
    assert list(subtitles.cues([segment(0, 1, "  ")], DONE)) == []


def test_cues_come_while_segments_are_found():
    def found():
        yield segment(0, 2, " One.")
        yield segment(2, 4, " Two.")
        raise AssertionError("read too far")

    assert next(subtitles.cues(found(), DONE)).lines == ("One.",)
