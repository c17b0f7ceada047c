"""One job: what comes of it, and what is tried again."""

import pytest

from app.config import Settings
from app.errors import (
    AudioLimited,
    EngineDied,
    InsufficientMemory,
    InvalidAudio,
    LocalWhisperDisabled,
    QueueFull,
    ServiceError,
)
from app.jobs.files import read_segments
from app.jobs.job import CANCELLED, FAILED, QUEUED, SUCCEEDED
from app.jobs.runner import Attempt, Runner

from .conftest import ANY_AUDIO, TellingSpeech


@pytest.fixture
def run(store, files, speech, clock):
    def run(*words, **options):
        """Begin the next job, have it meet *words*, and see where it stands then."""
        if words:
            speech.words = list(words)
        job = store.claim_next(clock(), "w")
        Attempt(job, Runner(store, files, speech, Settings(), ANY_AUDIO), clock=clock, **options).run()
        return store.get(job.id)

    return run


def test_a_transcript_is_kept_with_what_is_known_of_it(run, accept, files, speech):
    accept(params={"language": "en", "word_timestamps": True})
    job = run("one", "two")
    assert (job.state, job.text, job.seconds_done) == (SUCCEEDED, "one two", 20.0)
    assert job.result == {"language": "en", "duration": 20.0, "model": "telling"}
    with files.result(job.id) as file:
        assert [segment.text for segment in read_segments(file)] == [" one", " two"]
        assert job.result_bytes == file.tell()
    (request,) = speech.requests
    assert (request.language, request.word_timestamps, request.background) == ("en", True, True)


def test_the_recording_is_dropped_once_its_text_is_kept(run, accept, files):
    job = accept()
    run()
    with pytest.raises(FileNotFoundError), files.recording(job.id):
        pass


def test_speech_is_kept_with_who_spoke(run, accept, files, speech):
    accept(kind="speak", params={"text": "Hello.", "format": "wav"})
    job = run("RIFF", "data")
    assert job.result == {
        "engine": "espeak",
        "voice": "espeak:en",
        "duration": 1.5,
        "media_type": "audio/wav",
    }
    with files.result(job.id) as file:
        assert file.read() == b"RIFFdata"
    assert speech.requests[0].background


def test_what_will_never_do_fails_at_once_with_its_error(run, accept):
    accept()
    job = run(InvalidAudio("this is not audio", "file"))
    assert (job.state, job.attempt) == (FAILED, 1)
    assert job.error == {"message": "this is not audio", "code": "invalid_audio", "param": "file"}


def test_where_nobody_transcribes_a_job_fails_at_once(run, accept):
    accept()
    assert run(LocalWhisperDisabled("off")).error["code"] == "local_whisper_disabled"


def test_a_dead_engine_is_tried_again_later_and_not_for_good(run, accept, files, clock):
    accept()
    waits = []
    for _ in range(2):
        job = run("one", EngineDied("it died"))
        assert (job.state, job.text) == (QUEUED, "")
        waits.append(job.due_at - clock())
        clock.advance(waits[-1])
    job = run("one", EngineDied("it died"))
    assert waits == [2.0, 4.0]
    assert (job.state, job.attempt, job.error["code"]) == (FAILED, 3, "engine_died")
    with files.recording(job.id):
        pass  # kept, so that it can be queued again
    with pytest.raises(FileNotFoundError):
        files.result(job.id)


@pytest.mark.parametrize("error", [QueueFull("full"), InsufficientMemory("no room")])
def test_a_job_that_finds_no_room_waits_as_long_as_it_takes(run, accept, clock, error):
    accept()
    for _ in range(5):
        job = run(error)
        assert (job.state, job.failures) == (QUEUED, 0)
        clock.advance(job.due_at - clock())
    assert run("one").state == SUCCEEDED


def test_an_owner_without_allowance_waits_until_there_is_some(run, accept, clock):
    accept()
    job = run(AudioLimited("used up", retry_after_seconds=600))
    assert (job.state, job.due_at - clock()) == (QUEUED, 600)


def test_an_allowance_used_up_in_mid_work_ends_the_job(run, accept, clock):
    accept()
    assert (
        run("one", AudioLimited("used up", retry_after_seconds=600)).error["code"] == "audio_limit_exceeded"
    )


def test_an_error_nobody_foresaw_is_tried_again_and_tells_no_secrets(run, accept, clock, caplog):
    accept()
    for _ in range(3):
        job = run(ValueError("/secret/path"))
        clock.advance(1000)
    assert (job.state, job.error["code"]) == (FAILED, "internal_error")
    assert "secret" not in job.error["message"]
    assert "/secret/path" in caplog.text


def test_a_full_disk_is_tried_again(run, accept, clock):
    accept()
    job = run(OSError(28, "No space left on device"))
    assert job.state == QUEUED
    clock.advance(10)
    assert run("one").state == SUCCEEDED


def test_a_lost_recording_is_a_clear_error(run, accept, files):
    files.remove(accept().id)
    assert "recording is gone" in run("one").error["message"]


def test_a_service_that_stops_puts_the_job_back_uncounted(run, accept):
    accept()
    job = run("one", "two", is_running=lambda: False)
    assert (job.state, job.failures, job.text) == (QUEUED, 0, "")
    assert run("one", "two").text == "one two"


def test_a_cancelled_job_is_dropped_in_mid_work(run, accept, store, files, clock):
    job = accept()
    met = []

    def cancel():
        store.cancel(job.id, 5.0)
        clock.advance(1)

    ended = run("one", cancel, "two", lambda: met.append(True))
    assert (ended.state, ended.result, met) == (CANCELLED, {}, [])
    with pytest.raises(FileNotFoundError):
        files.result(job.id)


def test_a_job_that_takes_too_long_is_ended(run, accept, clock):
    accept()
    job = run("one", lambda: clock.advance(7200), "two")
    assert (job.state, job.attempt, job.error["code"]) == (FAILED, 1, "engine_timeout")
    assert "JOB_TIME_LIMIT_MINUTES" in job.error["message"]


def test_an_attempt_that_was_given_away_changes_nothing(store, files, speech, accept, clock):
    accept()
    lost = store.claim_next(clock(), "w")
    store.put_back(store.get(lost.id), 0.0)
    current = store.claim_next(clock(), "w")
    Attempt(lost, Runner(store, files, speech, Settings(), ANY_AUDIO), clock=clock).run()
    assert store.get(lost.id).state == "running"
    with files.recording(lost.id):
        pass
    Attempt(current, Runner(store, files, speech, Settings(), ANY_AUDIO), clock=clock).run()
    assert store.get(lost.id).state == SUCCEEDED


def test_who_lost_the_job_in_its_last_moment_does_not_replace_the_result(store, files, speech, accept, clock):
    job = accept()
    lost = store.claim_next(clock(), "w")

    def given_to_another_who_is_done():
        store.put_back(store.get(job.id), 0.0)
        claimed = store.claim_next(clock(), "w")
        Attempt(
            claimed, Runner(store, files, TellingSpeech(["right"]), Settings(), ANY_AUDIO), clock=clock
        ).run()

    speech.words = ["wrong", given_to_another_who_is_done]
    Attempt(lost, Runner(store, files, speech, Settings(), ANY_AUDIO), clock=clock).run()
    with files.result(job.id) as file:
        assert [segment.text for segment in read_segments(file)] == [" right"]
    assert store.get(job.id).text == "right"


@pytest.mark.parametrize("failures", [1, 3])
def test_who_is_late_to_find_a_job_lost_leaves_alone_what_its_next_worker_writes(
    store, files, speech, accept, clock, failures
):
    accept()
    runner = Runner(store, files, speech, Settings(), ANY_AUDIO)
    job = store.claim_next(clock(), "a")
    late = store.get(job.id)
    late.failures = failures
    assert runner.retry_or_end(job, ServiceError("lost"), clock(), clock())
    again = store.claim_next(clock(), "b")
    with files.new_result(again.id) as output:
        output.write(b"whole")
        assert not runner.retry_or_end(late, ServiceError("lost"), clock(), clock())
    with files.result(again.id) as result:
        assert result.read() == b"whole"
