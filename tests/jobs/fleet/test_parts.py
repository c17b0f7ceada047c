import itertools

import pytest

from app.jobs.fleet.performer import join_segments
from app.speech.transcription import REACH_SECONDS, Clip, Segment, Survey


def segment(start, end, text):
    fields = {
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }
    return Segment(id=9, seek=0, start=start, end=end, text=text, **fields)


def short_pauses(duration):
    """One of 0.4 s every 5 s."""
    return [Clip(float(second), second + 0.4) for second in range(5, int(duration), 5)]


def cut(pauses, duration, part_seconds):
    return Survey(duration, pauses, None).cut(part_seconds)


@pytest.mark.parametrize("duration", [601, 1199, 1500, 3600, 14400])
def test_parts_are_about_equal_and_make_up_the_whole(duration):
    parts = cut(short_pauses(duration), duration, 600)
    lengths = [part.end - part.start for part in parts]
    assert parts[0][0] == 0
    assert parts[-1][1] == duration
    assert all(before[1] == after[0] for before, after in itertools.pairwise(parts))
    assert len(parts) == -(-duration // 600)
    assert max(lengths) - min(lengths) < 10


@pytest.mark.parametrize("duration", [0, 0.5, 599, 600])
def test_a_short_recording_is_one_part(duration):
    assert cut(short_pauses(duration), duration, 600) == [Clip(0, duration)]


def test_a_cut_is_in_the_middle_of_the_longest_pause_around():
    duration = 1200
    pauses = sorted([*short_pauses(duration), Clip(620.0, 620.8), Clip(555.0, 555.6), Clip(700.0, 720.0)])
    assert cut(pauses, duration, 600) == [Clip(0, 620.4), Clip(620.4, 1200)]


def test_a_near_pause_that_is_long_enough_is_better_than_a_longer_one():
    assert cut([Clip(570.0, 571.0), Clip(655.0, 659.0)], 1200, 600) == [Clip(0, 570.5), Clip(570.5, 1200)]


def test_a_part_knows_where_decoding_may_begin():
    pause = Clip(599.0, 601.0, packet=7000, sample=9_500_000)
    assert cut([pause], 1200, 600) == [Clip(0, 600.0), Clip(600.0, 1200, packet=7000, sample=9_500_000)]


def test_of_pauses_of_one_length_the_nearest_is_taken():
    assert cut([Clip(570.0, 571.0), Clip(610.0, 611.0)], 1200, 600) == [Clip(0, 610.5), Clip(610.5, 1200)]


def test_speech_without_a_pause_is_not_cut():
    assert cut([], 3600, 600) == [Clip(0, 3600)]
    assert cut([Clip(1200 + REACH_SECONDS, 1201 + REACH_SECONDS)], 2400, 1200) == [Clip(0, 2400)]


def test_a_silence_as_long_as_parts_are_is_cut_once_at_most():
    parts = cut([Clip(0.0, 3600.0)], 3600, 600)
    assert all(part.start < part.end for part in parts)


def test_joined_segments_are_those_of_one_recording():
    parts = [
        [segment(0.0, 4.0, " One."), segment(4.0, 10.0, " Two.")],
        [],
        iter([segment(20.2, 30.0, " Three.")]),
    ]
    joined = [*join_segments(parts)]
    assert [each.id for each in joined] == [1, 2, 3]
    assert [(each.start, each.end) for each in joined] == [(0.0, 4.0), (4.0, 10.0), (20.2, 30.0)]
    assert "".join(each.text for each in joined) == " One. Two. Three."
