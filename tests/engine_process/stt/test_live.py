"""Live sessions in an engine, with the real model and real recordings: events, bounds, and what is never done."""

import itertools

import numpy as np
import pytest

from app.config import PROJECT
from app.engine.protocol import Message
from app.engine_process.stt import live
from app.engine_process.stt.decode import decode
from app.engine_process.stt.generate import Hypothesis
from app.engine_process.stt.live import LiveEngine
from app.engine_process.stt.windows import Doubt, Transcriber

from ...likeness import words, wrong_words
from ...recordings import DATA

TURNS = {
    "kind": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "eagerness": "auto",
}
SECOND = 16000
SILENCE = np.zeros(SECOND, np.int16)


def error_rate(said, heard):
    return wrong_words(heard, said) / len(words(said))


@pytest.fixture(scope="module")
def engine():
    return LiveEngine({"model_dir": str(PROJECT / "models" / "tiny.en"), "model": "tiny.en", "threads": 1})


def audio(name):
    return np.concatenate(list(decode(str(DATA / name), 60)))


def pieces(samples, size=SECOND // 4):
    return [
        Message({"kind": "audio", "behind": False}, samples[at : at + size].astype("<i2").tobytes())
        for at in range(0, len(samples), size)
    ]


def asked(kind):
    return [Message({"kind": kind})]


def events(engine, questions, **options):
    header = {
        "task": "live",
        "language": None,
        "languages": [],
        "prompt": None,
        "hotwords": None,
        "encoding": "pcm",
        "rate": SECOND,
        "turn_detection": TURNS,
        "deltas": True,
        "hand_over": False,
        "begins_at": 0.0,
        **options,
    }
    session = engine.open(header)
    found = [next(session)]
    for question in questions:
        found.append(session.send(question))
        while found[-1] is not None:
            found.append(next(session))
    session.close()
    return [message.header for message in found if message is not None]


def texts(found, kind="completed"):
    return [event["text"] for event in found if event["kind"] == kind]


def spoken(name):
    return (DATA / name).with_suffix(".txt").read_text()


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad"])
@pytest.mark.parametrize("name", ["austen_3s.flac", pytest.param("austen_11s.flac", marks=pytest.mark.long)])
def test_the_deltas_joined_are_the_text_and_the_text_is_what_was_said(engine, monkeypatch, name, kind):
    monkeypatch.setattr(live, "COST_SHARE", 0.0)  # as many passes on a slow machine as on a fast one
    samples = np.concatenate([SILENCE, audio(name), *[SILENCE] * 5])
    found = events(engine, pieces(samples), turn_detection={**TURNS, "kind": kind})
    joined = ""
    for event in found:
        joined += event["text"] if event["kind"] == "delta" else ""
        if event["kind"] == "completed":
            assert event["text"] == joined
            joined = ""
    assert joined == ""
    assert error_rate(spoken(name), " ".join(texts(found))) <= 0.25
    kinds = [event["kind"] for event in found]
    first = kinds[: kinds.index("completed") + 1]
    assert first[0] == "speech_started"
    assert "delta" in first[: first.index("speech_stopped")]  # words come while they are spoken
    assert [kind for kind in first if kind != "delta"] == [
        "speech_started",
        "speech_stopped",
        "committed",
        "completed",
    ]


def test_without_turn_detection_a_commit_ends_a_turn_and_a_clear_drops_it(engine):
    samples = audio("austen_3s.flac")
    questions = [
        *asked("commit"),
        *pieces(samples),
        *asked("commit"),
        *pieces(samples),
        *asked("clear"),
        *asked("commit"),
        *pieces(SILENCE),
        *asked("commit"),
    ]
    found = events(engine, questions, turn_detection=None, deltas=False)
    kinds = [event["kind"] for event in found]
    assert kinds == ["empty", "committed", "delta", "completed", "cleared", "empty", "committed", "completed"]
    said, nothing = texts(found)
    assert error_rate(spoken("austen_3s.flac"), said) <= 0.25
    assert nothing == ""


def test_a_prompt_is_encoded_once_however_many_turns_there_are(engine, monkeypatch):
    encoded, encode = [], engine.vocabulary.encode
    monkeypatch.setattr(engine.vocabulary, "encode", lambda text: encoded.append(text) or encode(text))
    samples = audio("austen_3s.flac")
    questions = [*pieces(samples), *asked("commit"), *pieces(samples), *asked("commit")]
    said = texts(events(engine, questions, turn_detection=None, deltas=False, prompt="Jane Austen"))
    assert [error_rate(spoken("austen_3s.flac"), text) <= 0.25 for text in said] == [True, True]
    assert encoded == [" Jane Austen"]


def test_silence_and_noise_make_no_pass_of_the_model_and_are_not_held(engine, monkeypatch):
    passes = []
    monkeypatch.setattr(engine, "encode", lambda *window: passes.append(window))
    noise = np.random.default_rng(7).normal(0, 60, SECOND).astype(np.int16)
    session = events(engine, pieces(np.concatenate([SILENCE, noise] * 60), SECOND))
    assert session == []
    held = events(
        engine,
        itertools.chain(pieces(np.concatenate([SILENCE, noise] * 60), SECOND), asked("leave")[:0]),
        turn_detection=None,
    )
    assert held == []
    assert passes == []


@pytest.mark.long
def test_a_turn_without_a_pause_stays_one_item_and_is_held_for_half_a_minute_at_most(engine):
    one = audio("austen_11s.flac")
    samples = np.concatenate([one] * 3)
    questions = [*pieces(samples, SECOND), *asked("commit")]
    found = events(engine, questions, turn_detection=None)
    (text,) = texts(found)
    assert text == "".join(texts(found, "delta"))
    assert error_rate(" ".join([spoken("austen_11s.flac")] * 3), text) <= 0.25


def test_text_behind_the_last_pair_of_timestamps_is_not_lost(engine, monkeypatch):
    """In a file it is heard again in the next window; a turn has none. What the model writes is given here."""
    vocabulary = engine.vocabulary
    zero = vocabulary.timestamp_begin
    first, rest = map(vocabulary.encode, (" He might even", " have been made amiable."))
    written = Hypothesis([zero, *first, zero + 60, zero + 60, *rest], 0.0, -0.2, 1.0, 0.0)
    monkeypatch.setattr(Transcriber, "best_hypothesis", lambda self, *given, **options: (written, Doubt.NONE))
    found = events(
        engine, [*pieces(audio("austen_3s.flac")), *asked("commit")], turn_detection=None, deltas=False
    )
    assert texts(found) == ["He might even have been made amiable."]
