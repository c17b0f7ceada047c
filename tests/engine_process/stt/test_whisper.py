import json
import struct

import numpy as np
import pytest

from app.engine import protocol
from app.engine_process.stt.decode import decode
from app.engine_process.stt.generate import Attempt, generate
from app.engine_process.stt.recording import Recording
from app.engine_process.stt.whisper import PADDING_FRAMES, WhisperEngine
from app.engine_process.stt.windows import UNSURE, Transcriber
from tests import recordings
from tests.likeness import understood, wrong_words

# Where a model says a segment or word begins or ends is up to half a second off, and differs between processors.
NEAR_SECONDS = 1.0
TASK = {"task": "transcribe", "max_audio_seconds": 3600.0}


def ask(engine, path, **options):
    """The headers of a whole session, None where a step ends."""
    answers = list(engine.open({**TASK, "path": str(path), **options}))
    return [answer and answer.header for answer in answers]


def kinds(answers, kind):
    return [answer for answer in answers if answer and answer["kind"] == kind]


def text_of(answers):
    return "".join(segment["text"] for segment in kinds(answers, "segment"))


def samples_of(clip):
    return np.concatenate(list(decode(str(clip.path), 60)))


def stock(stock_dir, path, **options):
    """The segments the stock library call gives."""
    from faster_whisper import WhisperModel
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # its thread would be left behind
    model = WhisperModel(str(stock_dir), device="cpu", compute_type="int8", cpu_threads=2)
    segments, _ = model.transcribe(str(path), beam_size=1, temperature=0.0, **options)
    return list(segments)


@pytest.mark.parametrize("clip", recordings.CLIPS, ids=lambda clip: clip.name)
def test_clips_are_understood(whisper, clip):
    answers = ask(whisper, clip.path)
    assert understood(text_of(answers), clip.text)
    assert kinds(answers, "end")[0]["duration"] == pytest.approx(clip.seconds, abs=0.05)


def test_of_two_searches_the_likelier_text_stands_where_the_first_is_unsure(whisper):
    """Five seconds ever deeper in noise; a first text below -0.7 may be another language, and is left as it is."""
    samples, random = samples_of(recordings.AUSTEN)[:80_000], np.random.default_rng(1)
    searched_again = 0
    for level in range(0, 5000, 1000):
        noisy = np.clip(samples + random.normal(0, level, len(samples)), -32768, 32767).astype(np.int16)
        recording = Recording(iter([noisy]), None)
        frames = recording.advance(0)
        encoded = whisper.encode(recording, 0, frames, frames + PADDING_FRAMES)
        task = whisper.task({"task": "transcribe"}, "en")
        first, second = (
            generate(
                whisper.model, encoded, task.sequence, whisper.vocabulary, beam_size=beams, attempt=Attempt()
            )
            for beams in (1, 2)
        )
        for may_be_foreign in (False, True):
            transcriber = Transcriber(whisper.model, whisper.vocabulary, recording, task)
            transcriber.may_be_foreign = may_be_foreign
            found = transcriber.hear(encoded, Attempt())
            unsure = first.avg_logprob < UNSURE and not (may_be_foreign and first.avg_logprob < -0.7)
            best = max(first.avg_logprob, second.avg_logprob) if unsure else first.avg_logprob
            assert found.avg_logprob == pytest.approx(best, abs=1e-3)
            searched_again += found.avg_logprob > first.avg_logprob + 1e-3
    assert searched_again


def test_a_session_starts_finds_goes_on_and_ends(whisper):
    length, pause, *answers = ask(whisper, recordings.AUSTEN.path)
    assert length == {"kind": "length", "seconds": pytest.approx(recordings.AUSTEN.seconds, abs=0.01)}
    assert pause is None  # to open a recording is a step: who has less to do comes first
    order = [answer["kind"] for answer in answers if answer]
    assert order[0] == "start"
    assert order[1] == "segment"
    assert order[-2:] == ["progress", "end"]
    assert None not in answers  # one window is one step: its end does not wait for the turns of others
    assert answers[0].pop("stated_seconds") == pytest.approx(recordings.AUSTEN.seconds, abs=0.01)
    assert answers[0].pop("encoder") in ("kernels", "numpy")
    assert answers[0] == {"kind": "start", "language": "en", "language_probability": 1.0, "model": "tiny.en"}


def test_everything_a_segment_says_can_travel(whisper):
    """JSON has no word for infinity, and the wire takes no numpy."""
    for segment in kinds(ask(whisper, recordings.AUSTEN.path, word_timestamps=True), "segment"):
        json.dumps(segment, allow_nan=False)


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"hotwords": "Dashwood", "prompt": "Sense and Sensibility."}])
def test_segments_are_those_of_the_stock_call(whisper, stock_dir, options):
    stock_names = {"prompt": "initial_prompt"}
    expected = stock(
        stock_dir,
        recordings.AUSTEN.path,
        **{stock_names.get(name, name): value for name, value in options.items()},
    )
    found = kinds(ask(whisper, recordings.AUSTEN.path, no_speech_gate=False, **options), "segment")
    # Not the same computation: the spectrum is ours, and what differs in its last digits may turn a word.
    assert understood("".join(each["text"] for each in found), "".join(each.text for each in expected))
    assert found[-1]["end"] == pytest.approx(expected[-1].end, abs=NEAR_SECONDS)
    assert found[0]["avg_logprob"] == pytest.approx(expected[0].avg_logprob, abs=0.2)


@pytest.mark.long
def test_words_are_those_of_the_stock_call(whisper, stock_dir):
    expected = stock(stock_dir, recordings.AUSTEN.path, word_timestamps=True)
    found = kinds(
        ask(whisper, recordings.AUSTEN.path, word_timestamps=True, no_speech_gate=False),
        "segment",
    )
    ours = {word["word"]: word["start"] for each in found for word in each["words"]}
    theirs = {word.word: word.start for each in expected for word in each.words}
    shared = ours.keys() & theirs.keys()
    assert len(shared) > 0.8 * len(theirs)
    assert [ours[word] for word in shared] == pytest.approx([theirs[word] for word in shared], abs=0.3)


def test_the_times_of_a_long_recording_are_those_of_the_whole(whisper, upload):
    """A clip a minute in, after silence, is heard at its place; the silence says nothing."""
    clip = samples_of(recordings.AUSTEN_SHORT)
    silence = np.zeros(16000 * 60, np.int16)
    path = upload(recordings.wav(np.concatenate([clip, silence, clip, silence])))
    answers = ask(whisper, path, word_timestamps=True)
    first, second = kinds(answers, "segment")
    assert understood(first["text"], recordings.AUSTEN_SHORT.text)
    assert understood(second["text"], recordings.AUSTEN_SHORT.text)
    assert second["start"] - first["start"] == pytest.approx(63.3, abs=1)
    assert second["end"] < 68
    assert kinds(answers, "progress")[-1]["seconds"] == pytest.approx(126.6, abs=0.1)
    assert answers.count(None) >= 3  # a step is a window at most


def test_parts_of_a_recording_say_what_the_whole_says_at_the_same_times(whisper, upload):
    spoken = recordings.AUSTEN, recordings.NEURAL, recordings.AUSTEN_SHORT
    clips = [samples_of(clip) for clip in spoken]
    silence = np.zeros(16000 * 2, np.int16)
    path = upload(recordings.wav(np.concatenate([piece for clip in clips for piece in (clip, silence)])))
    looked_over = ask(whisper, path, task="survey")
    pauses = [pause for answer in kinds(looked_over, "pauses") for pause in answer["pauses"]]
    end = kinds(looked_over, "end")[0]
    cuts = [(round((since + until) / 2, 2), mark) for since, until, *mark in pauses if until - since > 1.5]
    begins, ends = [(0.0, []), *cuts], [*(cut for cut, _ in cuts), end["duration"]]
    assert len(cuts) == 2
    assert all(mark[0] > 0 for _, mark in cuts)
    whole = kinds(ask(whisper, path), "segment")
    parts = [
        answer
        for (begin, mark), until in zip(begins, ends, strict=True)
        for answer in kinds(ask(whisper, path, clip=[begin, until, *mark]), "segment")
    ]
    said = " ".join(clip.text for clip in spoken)
    assert understood("".join(each["text"] for each in whole), said)
    assert understood("".join(each["text"] for each in parts), said)
    assert parts[-1]["start"] == pytest.approx(whole[-1]["start"], abs=NEAR_SECONDS)
    assert parts[-1]["seek"] == round(begins[-1][0] * 100)


def test_a_survey_loads_no_model_where_the_language_is_known(model_dir):
    engine = WhisperEngine({"model_dir": str(model_dir), "model": "tiny.en", "threads": 1})
    assert kinds(ask(engine, recordings.AUSTEN.path, task="survey"), "end")[0]["language"] is None
    assert "model" not in vars(engine)


@pytest.mark.parametrize("seconds", [0.05, 1, 35])
@pytest.mark.parametrize("level", [0.0, 0.001, 0.3])
def test_nothing_is_heard_where_nobody_speaks(whisper, upload, seconds, level):
    answers = ask(whisper, upload(recordings.noise(seconds, level)))
    assert kinds(answers, "segment") == []
    assert len(kinds(answers, "start")) == 1
    assert kinds(answers, "end")[0]["duration"] == pytest.approx(seconds, abs=0.01)


def test_what_is_left_of_a_last_word_gets_no_words_of_its_own(whisper, upload):
    """
    Half a minute of the clips in other orders, quiet, in noise, and cut off in mid-sentence: of sixty such
    recordings the 33rd once ended with "Do it in the afternoon.", heard in its last 0.3 s.
    """
    samples = [samples_of(clip) for clip in recordings.CLIPS]
    random = np.random.default_rng(3)
    for _ in range(33):
        order = list(random.permutation(len(samples))) * 3
        pauses = [np.zeros(random.integers(0, 8000), np.int16) for _ in order]
        pieces = [
            each for number, pause in zip(order, pauses, strict=True) for each in (samples[number], pause)
        ]
        seconds = random.uniform(29.0, 31.5)
        cut = np.concatenate(pieces)[: int(seconds * 16000)]
        noisy = np.clip(cut / 8 + random.normal(0, 30, len(cut)), -32768, 32767).astype("<i2")
    segments = kinds(ask(whisper, upload(recordings.wav(noisy))), "segment")
    assert segments
    assert [one["text"] for one in segments if one["seek"] and seconds - one["seek"] / 100 <= 0.5] == []


def test_quiet_speech_is_heard(whisper, upload):
    quiet = (samples_of(recordings.NEURAL) * 0.01).astype(np.int16)
    assert understood(text_of(ask(whisper, upload(recordings.wav(quiet)))), recordings.NEURAL.text)


@pytest.mark.parametrize(("level", "constant"), [(0.006, 0), (0.02, 0.5), (0.02, -0.25)])
def test_near_inaudible_speech_is_heard_also_on_a_constant(whisper, upload, level, constant):
    """Peaks at -51 and -41 dB, and a direct voltage, which a cheap sound card adds: the detector heard nobody."""
    quiet = samples_of(recordings.NEURAL) * level + constant * 32768
    heard = text_of(ask(whisper, upload(recordings.wav(quiet.astype(np.int16)))))
    assert wrong_words(heard, recordings.NEURAL.text) <= 4  # of 13; up to ten bits of sixteen are lost


def test_times_follow_the_containers_clock(whisper, upload):
    pieces = [(4.9, samples_of(recordings.AUSTEN_SHORT)), (20, samples_of(recordings.NEURAL))]
    path = upload(recordings.muxed("matroska", recordings.Track(pieces), picture_seconds=25))
    answers = ask(whisper, path, word_timestamps=True)
    first, *_, last = kinds(answers, "segment")
    assert first["start"] == pytest.approx(4.9, abs=NEAR_SECONDS)
    assert first["end"] == pytest.approx(8.2, abs=NEAR_SECONDS)
    assert last["end"] == pytest.approx(24.4, abs=NEAR_SECONDS)
    words = [word for segment in kinds(answers, "segment") for word in segment["words"]]
    assert not [word for word in words if 8.8 < word["end"] < 19.9]
    end = kinds(answers, "end")[0]
    assert end["duration"] == pytest.approx(24.45, abs=0.1)
    assert end["decoded_seconds"] == pytest.approx(7.74, abs=0.1)


def test_parts_follow_the_containers_clock(whisper, upload):
    """Cut in the gap; the second part is decoded from its mark on."""
    pieces = [(4.9, samples_of(recordings.AUSTEN)), (40, samples_of(recordings.NEURAL))]
    path = upload(recordings.muxed("matroska", recordings.Track(pieces), picture_seconds=45))
    looked_over = ask(whisper, path, task="survey")
    pauses = [pause for answer in kinds(looked_over, "pauses") for pause in answer["pauses"]]
    since, until, *mark = next(pause for pause in pauses if pause[0] < recordings.AUSTEN.seconds < pause[1])
    middle, duration = (since + until) / 2, kinds(looked_over, "end")[0]["duration"]
    answers = ask(whisper, path, clip=[middle, duration, *mark])
    segments = kinds(answers, "segment")
    assert segments[0]["start"] == pytest.approx(40, abs=NEAR_SECONDS)
    assert kinds(answers, "end")[0]["duration"] == pytest.approx(44.45, abs=0.1)


@pytest.mark.parametrize("clip", [recordings.AUSTEN_SHORT, recordings.NEURAL], ids=lambda clip: clip.name)
@pytest.mark.parametrize("seconds", [1.3, 2.4])
def test_nothing_ends_after_the_recording(whisper, upload, clip, seconds):
    """Broken off in mid-word, where the model goes on to the next half second."""
    path = upload(recordings.wav(samples_of(clip)[: int(seconds * 16_000)]))
    for options in ({}, {"word_timestamps": True}):
        answers = ask(whisper, path, **options)
        ends = [segment["end"] for segment in kinds(answers, "segment")]
        ends += [word["end"] for segment in kinds(answers, "segment") for word in segment["words"] or ()]
        assert max(ends) <= seconds + 0.005


def test_sessions_taking_turns_do_not_mix(whisper):
    alone = [text_of(ask(whisper, clip.path)) for clip in recordings.CLIPS]
    sessions = [whisper.open({**TASK, "path": str(clip.path)}) for clip in recordings.CLIPS]
    texts = [""] * len(sessions)
    pending = dict(enumerate(sessions))
    while pending:
        for number, session in list(pending.items()):
            for answer in session:
                if answer is None:
                    break
                texts[number] += answer.header.get("text", "")
            else:
                del pending[number]
    assert texts == alone


def repeated(clip, times, pause_seconds, level=1.0):
    """*clip* several times, with pauses."""
    samples = (samples_of(clip) * level).astype(np.int16)
    pause = np.zeros(int(16000 * pause_seconds), np.int16)
    return recordings.wav(np.concatenate([piece for _ in range(times) for piece in (samples, pause)]))


@pytest.mark.parametrize(
    ("clip", "times", "pause_seconds"),
    [
        (recordings.AUSTEN_SHORT, 3, 0),
        pytest.param(recordings.AUSTEN_SHORT, 9, 0, marks=pytest.mark.long),
        (recordings.NEURAL, 5, 1.2),
        pytest.param(recordings.ESPEAK, 7, 2, marks=pytest.mark.long),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_what_is_truly_said_several_times_is_heard_as_often(whisper, upload, clip, times, pause_seconds):
    """The same text at each run, and no words nobody said: the decoder's samples had other ones each time."""
    path = upload(repeated(clip, times, pause_seconds))
    found = kinds(ask(whisper, path), "segment")
    assert understood("".join(each["text"] for each in found), f"{clip.text} " * times)
    assert found == kinds(ask(whisper, path), "segment")


@pytest.mark.parametrize("clip", [recordings.AUSTEN, recordings.NEURAL], ids=lambda clip: clip.name)
@pytest.mark.parametrize("phrase", ["again and ", pytest.param("Thank you. ", marks=pytest.mark.long)])
def test_a_loop_of_the_decoder_is_stopped(whisper, clip, phrase):
    """A context that repeats itself makes the model go on with it, at a log probability of -0.05."""
    assert understood(text_of(ask(whisper, clip.path, prompt=phrase * 30)), clip.text)


@pytest.mark.parametrize(
    ("options", "code", "param", "names"),
    [
        ({"language": "tlh"}, "invalid_request", "language", "accepted are en"),
        ({"language": "de"}, "model_cannot_translate", "language", "tiny.en"),
        ({"task": "translate"}, "model_cannot_translate", "model", "base"),
        ({"task": "sing"}, "invalid_request", "task", "translate"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_the_audio_is_read(whisper, options, code, param, names):
    with pytest.raises(protocol.Refused) as refusal:
        ask(whisper, "/nowhere", **options)
    assert (refusal.value.code, refusal.value.param) == (code, param)
    assert names in refusal.value.message


def test_a_missing_model_is_named(tmp_path):
    engine = WhisperEngine({"model_dir": str(tmp_path / "tiny.en"), "model": "tiny.en", "threads": 1})
    with pytest.raises(protocol.Refused) as refusal:
        ask(engine, recordings.AUSTEN.path)
    assert refusal.value.code == "model_missing"


def test_what_is_not_audio_loads_no_model(model_dir, upload):
    engine = WhisperEngine({"model_dir": str(model_dir), "model": "tiny.en", "threads": 1})
    with pytest.raises(protocol.Refused):
        ask(engine, upload(b"no audio at all" * 100))
    assert "model" not in vars(engine)


def test_a_header_that_lies_about_its_length_is_not_believed(whisper, upload):
    content = bytearray(recordings.wav(samples_of(recordings.AUSTEN_SHORT)))
    content[4:8] = content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    assert text_of(ask(whisper, upload(bytes(content)))) == text_of(
        ask(whisper, recordings.AUSTEN_SHORT.path)
    )
