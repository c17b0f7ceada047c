import itertools

import numpy as np
import pytest

from app.engine_process.stt import vad
from app.engine_process.stt.decode import decode
from app.engine_process.stt.recording import BREAK_SAMPLES, Recording, clip, survey
from tests import recordings

SPEECH = np.concatenate(list(decode(str(recordings.AUSTEN_SHORT.path), 60)))
SECONDS = len(SPEECH) / 16000
RAMP = np.arange(16000 * 70, dtype=np.int32).astype(np.int16)


def silence(seconds):
    return np.zeros(int(16000 * seconds), np.int16)


def pieces(samples, size=1000):
    return (samples[at : at + size] for at in range(0, len(samples), size))


def test_windows_hold_the_samples_of_their_place():
    recording = Recording(pieces(RAMP), None)
    for frame in (0, 1234, 2999, 5998):
        frames = recording.advance(frame)
        assert frames == min(3000, 7000 - frame)
        window = recording.window(frame, frames)
        assert len(window) == frames * 160 + 400
        heard = RAMP[frame * 160 : (frame + frames) * 160]
        assert np.array_equal(window[200 : 200 + len(heard)], heard)
    assert recording.advance(7000) == 0


def test_only_half_a_minute_is_held_however_far_it_goes():
    endless = Recording(itertools.repeat(RAMP[:1000]), None)
    for frame in range(0, 60000, 2000):
        assert endless.advance(frame) == 3000
        assert len(endless.held) <= 16000 * 30 + 200 + 200 + 1000


def test_the_beginning_is_mirrored_and_the_end_is_silent():
    recording = Recording(pieces(RAMP[:1600]), None)
    assert recording.advance(0) == 10
    window = recording.window(0, 10)
    assert window[:200].tolist() == RAMP[200:0:-1].tolist()
    assert not window[1800:].any()


@pytest.mark.parametrize("length", [1, 159, 160, 250])
def test_a_recording_shorter_than_a_frames_reach_has_a_window(length):
    recording = Recording(pieces(RAMP[:length]), None)
    frames = recording.advance(0)
    assert frames == length // 160
    assert len(recording.window(0, frames)) == frames * 160 + 400


def test_a_jump_past_what_was_heard_lands_where_it_should():
    recording = Recording(pieces(RAMP), None)
    recording.advance(0)
    assert recording.advance(5000) == 2000
    assert recording.window(5000, 1)[200] == RAMP[5000 * 160]


def test_speech_is_found_where_it_is():
    recording = Recording(
        pieces(np.concatenate([silence(10), SPEECH, silence(10)])), vad.SpeechDetector(vad.load())
    )
    frames = recording.advance(0)
    begin, end = recording.speech(0, frames)
    assert begin == pytest.approx(1000, abs=50)
    assert end == pytest.approx(1000 + SECONDS * 100, abs=60)
    assert recording.speech(0, 900) is None
    recording.advance(500)
    assert recording.speech(500, 2000) == (begin, end)


def test_a_clip_has_the_windows_of_its_place():
    ways = clip(pieces(RAMP), 20.3, 64.2)
    with pytest.raises(StopIteration) as way:
        next(ways)
    samples, first = way.value.value
    whole, part = Recording(pieces(RAMP), None), Recording(samples, None, first)
    for frame in (2030, 3000):
        assert part.advance(frame) == whole.advance(frame) == 3000
        assert np.array_equal(part.window(frame, 3000), whole.window(frame, 3000))
    assert part.advance(6000) == 420
    assert part.samples_read == 64.2 * 16000


def test_the_way_to_a_clip_has_breaks():
    """Others want their turn while an hour passes by."""
    begin = 5 * BREAK_SAMPLES / 16000 + 1
    assert [*clip(itertools.repeat(RAMP[:1000]), begin, begin + 10)] == [None] * 5


def test_speech_of_a_clip_is_found_at_its_place():
    samples = np.concatenate([silence(10), SPEECH, silence(10)])
    with pytest.raises(StopIteration) as way:
        next(clip(pieces(samples), 8.0, 30.0))
    rest, first = way.value.value
    recording = Recording(rest, vad.SpeechDetector(vad.load()), first)
    frames = recording.advance(800)
    begin, end = recording.speech(800, 800 + frames)
    assert begin == pytest.approx(1000, abs=50)
    assert end == pytest.approx(1000 + SECONDS * 100, abs=60)


def look_over(*parts, hear_language=None):
    """The pauses, the message at the end, and the number of steps."""
    samples = np.concatenate(parts)
    messages = list(survey(Recording(pieces(samples), vad.SpeechDetector(vad.load())), hear_language))
    pauses = [
        tuple(pause[:2]) for message in messages if message for pause in message.header.get("pauses", ())
    ]
    return pauses, messages[-1].header, messages.count(None) + 1


def test_pauses_are_found_where_they_are():
    pauses, end, steps = look_over(silence(40), SPEECH, silence(5), SPEECH, silence(2))
    long = [pause for pause in pauses if pause[1] - pause[0] > 2]
    assert long == [
        (pytest.approx(0), pytest.approx(40, abs=0.6)),
        (pytest.approx(40 + SECONDS, abs=0.6), pytest.approx(45 + SECONDS, abs=0.6)),
    ]
    assert end["duration"] == pytest.approx(47 + 2 * SECONDS)
    assert steps == 2


def test_pauses_do_not_depend_on_where_windows_begin():
    """The one that hears a language moves its window to the first word."""
    parts = (silence(20), SPEECH, silence(31), SPEECH, silence(2))
    asked = []

    def hear_language(frame, frames):
        asked.append((frame, frames))
        return "en"

    alone, moved = look_over(*parts), look_over(*parts, hear_language=hear_language)
    assert alone[0] == moved[0]
    assert (alone[1]["language"], moved[1]["language"]) == (None, "en")
    [(frame, frames)] = asked
    assert frame == pytest.approx(1900, abs=60)
    assert frames == 3000


def test_where_nobody_speaks_there_is_no_language_and_no_pause_between():
    pauses, end, _ = look_over(silence(35), hear_language=lambda frame, frames: "en")
    assert (pauses, end["language"]) == ([], None)
