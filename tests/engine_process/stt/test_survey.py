import numpy as np
import pytest

from app.engine_process.stt import vad
from app.engine_process.stt.decode import Mark, decode
from app.engine_process.stt.recording import Recording
from app.engine_process.stt.survey import Marks, survey
from tests import recordings

SPEECH = np.concatenate(list(decode(str(recordings.AUSTEN_SHORT.path), 60)))
SECONDS = len(SPEECH) / 16000


def silence(seconds):
    return np.zeros(int(16000 * seconds), np.int16)


def look_over(*parts, hear_language=None):
    """The pauses, the message at the end, and the number of steps."""
    samples = np.concatenate(parts)
    pieces = (samples[at : at + 1000] for at in range(0, len(samples), 1000))
    messages = list(survey(Recording(pieces, vad.SpeechDetector(vad.load())), Marks(), hear_language))
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


def test_the_last_mark_a_second_before_is_where_decoding_begins():
    marks = Marks()
    for number in range(1, 1001):
        marks.note(Mark(number, number * 320))
    assert marks.before(8_000) == Mark(0, 0)
    assert marks.before(48_000) == Mark(100, 32_000)
    assert marks.before(48_100) == Mark(100, 32_000)
    assert marks.before(319_000) == Mark(900, 288_000)
    assert len(marks.kept) == 3
