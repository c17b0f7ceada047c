"""AUDIO_SECONDS_PER_HOUR: charged while audio is heard and spoken."""

import pytest

from app.access.limits import Allowance, LocalCounters
from app.engine.protocol import Message
from app.errors import AudioLimited
from app.speech.audio import SynthesisResult
from app.speech.transcription import Segment, Transcription


@pytest.fixture
def allowance(clock):
    return Allowance(60, LocalCounters(clock=clock))


SEGMENT = dict.fromkeys(Segment._fields, 0)


def transcription(*kinds, begins_at=0.0):
    """One whose engine tells this, and the list of what was taken from it."""
    taken = []

    def messages():
        for kind, seconds in kinds:
            taken.append((kind, seconds))
            yield Message({**SEGMENT, "kind": kind, "seconds": seconds, "duration": seconds})

    return Transcription("tiny.en", messages(), begins_at=begins_at), taken


def spoken(seconds, *, cached=False):
    closed = []
    return SynthesisResult(
        "espeak", "en", "wav", (), "tag", iter([b""]), lambda: closed.append(1), cached=cached,
        duration_seconds=seconds,
    ), closed  # fmt: skip


def used_up(allowance, caller="a"):
    try:
        allowance.check(caller)
    except AudioLimited:
        return True
    return False


def test_when_it_is_used_up_there_is_more_after_an_hour(allowance, clock):
    allowance.charge("a", 59.5)
    assert not used_up(allowance)
    clock.advance(600)
    allowance.charge("a", 0.5)
    with pytest.raises(AudioLimited, match="60 seconds of audio an hour") as refusal:
        allowance.check("a")
    assert (refusal.value.status, refusal.value.retry_after_seconds) == (429, 3000)
    assert not used_up(allowance, "b")
    clock.advance(3000)
    assert not used_up(allowance)


def test_a_transcription_is_charged_for_what_it_is(allowance):
    work, _ = transcription(("progress", 20.0), ("progress", 45.0), ("end", 50.0))
    list(allowance.transcription("a", work))
    allowance.charge("a", 9.9)
    assert not used_up(allowance)
    allowance.charge("a", 0.1)
    assert used_up(allowance)


def test_a_part_of_a_recording_is_charged_for_itself_alone(allowance):
    """Its times are those of the whole recording."""
    work, _ = transcription(("progress", 1830.0), ("end", 1850.0), begins_at=1800.0)
    list(allowance.transcription("a", work))
    allowance.charge("a", 9.9)
    assert not used_up(allowance)


def test_an_hour_is_ended_where_the_allowance_ends(allowance):
    work, taken = transcription(*(("progress", 30.0 * number) for number in range(1, 120)), ("end", 3600.0))
    with pytest.raises(AudioLimited):
        list(allowance.transcription("a", work))
    assert taken[-1] == ("progress", 60.0)


def test_who_leaves_in_the_midst_has_had_what_was_heard(allowance):
    work, _ = transcription(("progress", 59.0), ("segment", 59.0), ("progress", 100.0))
    heard = iter(allowance.transcription("a", work))
    next(heard)
    work.close()
    allowance.charge("a", 0.9)
    assert not used_up(allowance)
    allowance.charge("a", 0.1)
    assert used_up(allowance)


def test_speech_is_charged_once_when_it_is_closed(allowance):
    said, closed = spoken(31.0)
    metered = allowance.spoken("a", said, "text")
    assert not closed
    metered.close()
    metered.close()
    assert closed
    assert not used_up(allowance)
    allowance.charge("a", 29.0)
    assert used_up(allowance)


def test_who_leaves_before_the_end_of_speech_pays_for_its_text(allowance):
    said, _ = spoken(None)
    allowance.spoken("a", said, "x" * 1000).close()
    assert used_up(allowance)


def test_what_was_kept_from_before_is_free(allowance):
    said, _ = spoken(None, cached=True)
    allowance.spoken("a", said, "x" * 1000).close()
    assert not used_up(allowance)


def test_without_a_limit_nothing_is_counted(clock):
    free = Allowance(0, LocalCounters(clock=clock))
    work, taken = transcription(("progress", 9e9), ("end", 9e9))
    list(free.transcription("a", work))
    said, _ = spoken(9e9)
    assert free.spoken("a", said, "") is said
    assert len(taken) == 2
    free.check("a")
