"""A job that begins again goes on from where it was, with the real engine: the text is that of one undisturbed run."""

import pytest

from app.config import Settings
from app.engine.budget import weigh_web
from app.jobs.files import read_segments
from app.jobs.job import QUEUED, SUCCEEDED
from app.jobs.runner import Attempt, Runner
from app.speech.service import Speech
from tests.likeness import wrong_words

from .conftest import ANY_AUDIO
from .fleet.machines import read_aloud


@pytest.fixture
def speech():
    speech = Speech(Settings(whisper_model="tiny.en"), 600, weigh_web)
    yield speech
    speech.close()


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """73 seconds: four windows."""
    return read_aloud(tmp_path_factory.mktemp("aloud"), 3)


@pytest.fixture
def done(store, files, speech, clock, recording, accept):
    """Does a job of that recording, which is put back whenever *times* windows more are kept; it, and its segments."""

    def done(interruptions=0, **params):
        job = accept(params=params)
        with recording.open("rb") as file:
            files.keep_recording(job.id, file)
        for number in range(interruptions + 1):
            held = store.claim_next(clock(), "w")
            before = dict(held.resume)

            def goes_on(held=held, before=before, last=number == interruptions):
                clock.advance(2)
                return last or held.resume == before

            Attempt(
                held, Runner(store, files, speech, Settings(), ANY_AUDIO), is_running=goes_on, clock=clock
            ).run()
            if number < interruptions:
                waiting = store.get(job.id)
                assert (waiting.state, waiting.failures) == (QUEUED, 0)
                assert len([*store.segments(job.id)]) == waiting.resume["segments"] > 0
                assert waiting.seconds_done == waiting.resume["seconds"] > before.get("seconds", 0.0)
        with files.result(job.id) as lines:
            return store.get(job.id), [*read_segments(lines)]

    return done


@pytest.mark.parametrize(
    "params",
    [
        {},
        pytest.param({"word_timestamps": True}, marks=pytest.mark.long),
        pytest.param({"prompt": "Jane Austen", "beam_size": 2}, marks=pytest.mark.long),
    ],
)
def test_an_interrupted_job_has_the_text_and_the_times_of_one_that_was_not(done, store, params):
    whole, undisturbed = done(**params)
    again, resumed = done(interruptions=2, **params)
    assert (again.state, again.attempt) == (SUCCEEDED, 3)
    assert again.text == "".join(segment.text for segment in resumed).strip()
    assert wrong_words(again.text, whole.text) <= 2
    assert again.result == whole.result
    assert [one.id for one in resumed] == [*range(1, len(resumed) + 1)]
    starts = [one.start for one in resumed]
    assert starts == sorted(starts)
    for segment in resumed:  # each is where it was, but for a moment of the detector's
        nearest = min(undisturbed, key=lambda one, at=segment.start: abs(one.start - at))
        assert (segment.start, segment.end) == pytest.approx((nearest.start, nearest.end), abs=0.5)
    assert again.resume == {}
    assert [*store.segments(again.id)] == []


@pytest.mark.long
def test_what_another_model_began_is_done_from_the_beginning(store, files, speech, clock, accept, recording):
    job = accept()
    with recording.open("rb") as file:
        files.keep_recording(job.id, file)
    held = store.claim_next(clock(), "w")
    held.text, held.resume = "Nobody said", {"model": "base.en", "seconds": 60.0, "characters": 11}
    store.progress(held, [b'{"text": " Nobody said"}\n'])
    store.put_back(held, clock())
    Attempt(
        store.claim_next(clock(), "w"), Runner(store, files, speech, Settings(), ANY_AUDIO), clock=clock
    ).run()
    ended = store.get(job.id)
    assert ended.state == SUCCEEDED
    assert "Nobody said" not in ended.text
    with files.result(job.id) as lines:
        assert "".join(segment.text for segment in read_segments(lines)).strip() == ended.text
