import numpy as np
import pytest

from app.engine_process.stt.generate import Hypothesis, Task
from app.engine_process.stt.recording import Recording
from app.engine_process.stt.tokens import Vocabulary
from app.engine_process.stt.windows import Doubt, Transcriber


@pytest.fixture(scope="module")
def vocabulary(model_dir):
    return Vocabulary(model_dir)


@pytest.fixture
def transcriber(vocabulary):
    def transcriber(**task):
        silence = Recording(iter([np.zeros(16000 * 60, np.int16)]), None)
        return Transcriber(None, vocabulary, silence, Task("en", [vocabulary.start], **task))

    return transcriber


@pytest.fixture
def said(vocabulary):
    def said(*parts):
        """Texts and times in seconds as the model writes them."""
        return [
            token
            for part in parts
            for token in (
                vocabulary.encode(part)
                if isinstance(part, str)
                else [vocabulary.timestamp_begin + round(part / 0.02)]
            )
        ]

    return said


def test_text_after_the_last_pair_of_times_is_heard_again(transcriber, said):
    tokens = said(0.0, " One.", 4.0, 4.0, " Two.", 9.0, 9.0, " Thr")
    segments, next_frame, closed = transcriber().split(tokens, 1000, 3000)
    assert [(each.start, each.end, each.text) for each in segments] == [(10, 14, " One."), (14, 19, " Two.")]
    assert next_frame == 1900
    assert not closed


def test_a_closed_last_segment_is_kept_and_the_whole_window_is_done(transcriber, said):
    tokens = said(0.0, " One.", 4.0, 4.0, " Two.", 9.0)
    segments, next_frame, closed = transcriber().split(tokens, 1000, 3000)
    assert [each.text for each in segments] == [" One.", " Two."]
    assert next_frame == 4000
    assert closed


def test_text_without_pairs_is_one_segment(transcriber, said):
    segments, next_frame, _ = transcriber().split(said(0.0, " One.", 4.0), 0, 3000)
    assert [(each.start, each.end) for each in segments] == [(0, 4)]
    assert next_frame == 3000
    segments, _, _ = transcriber().split(said(" One."), 0, 1100)
    assert segments[0].end == 11


@pytest.mark.parametrize(
    ("parts", "passes_over"),
    [
        ((0.0, " The harbor wakes before the town does.", 7.0, 7.0, " Yes.", 9.0), False),
        ((0.0, " The", 7.0, 7.0, " paper makes a noise.", 9.0), True),
        ((0.0, " The", 2.0, 2.0, " paper makes a noise.", 9.0), False),
        ((4.0, " The harbor wakes.", 9.0), True),
        ((0.0, " The harbor wakes.", 3.0, 6.5, " before the town does.", 9.0), True),
        ((0.0, " The harbor wakes.", 5.0), True),
        ((0.0, " The harbor wakes.", 7.0), False),
        ((0.0, " 港は目を覚ます。", 7.0, 7.0, " はい。", 9.0), False),
    ],
)
def test_seconds_of_speech_without_text_are_noticed(transcriber, said, parts, passes_over):
    """Here somebody speaks for nine seconds, then nobody does."""
    listener = transcriber()
    listener.recording.advance(0)
    listener.recording.speech_flags = [at * 0.032 < 9 for at in range(1000)]
    segments, next_frame, _ = listener.split(said(*parts), 0, 3000)
    assert listener.passes_over(segments, 0, next_frame) == passes_over


def test_without_a_detector_nothing_is_taken_for_passed_over(transcriber, said):
    listener = transcriber()
    segments, next_frame, _ = listener.split(said(0.0, " The", 7.0), 0, 3000)
    assert not listener.passes_over(segments, 0, next_frame)


def test_the_prompt_has_hotwords_then_what_was_said_then_the_task(transcriber, vocabulary):
    context = transcriber(prompt=[11, 12], hotwords=[21])
    assert context.prompt(context.context) == [vocabulary.previous, 21, 11, 12, vocabulary.start]
    assert transcriber().prompt([]) == [vocabulary.start]


def test_the_prompt_leaves_the_model_room_to_answer(transcriber):
    full = transcriber(prompt=[1] * 1000, hotwords=[2] * 1000)
    assert len(full.prompt(full.context)) <= 448


HARBOR = " The harbor wakes before the town does."


def listening_to(transcriber, speech_seconds):
    """A transcriber whose detector heard so many seconds of speech, from the beginning on."""
    listener = transcriber()
    listener.recording.detector = object()  # there is one
    listener.recording.speech_flags = [at * 0.032 < speech_seconds for at in range(1000)]
    return listener


@pytest.mark.parametrize(
    ("speech_seconds", "logprob", "no_speech", "parts", "doubt"),
    [
        (9, -0.3, 0.1, (0.0, HARBOR, 3.0), Doubt.SOME),  # and who speaks for the other six?
        (3, -0.3, 0.1, (0.0, HARBOR, 3.0), Doubt.NONE),
        (3, -1.2, 0.1, (0.0, HARBOR, 3.0), Doubt.SOME),
        (0, -1.2, 0.9, (0.0, HARBOR, 3.0), Doubt.NONE),  # silence, and nobody says otherwise
        (3, -1.2, 0.9, (0.0, HARBOR, 3.0), Doubt.SILENCE),
        (3, -0.2, 0.1, (0.0, 29.0), Doubt.SILENCE),
    ],
)
def test_what_speaks_against_a_text(transcriber, said, speech_seconds, logprob, no_speech, parts, doubt):
    listener = listening_to(transcriber, speech_seconds)
    hypothesis = Hypothesis(said(*parts), 0.0, logprob, 1.0, no_speech)
    assert listener.doubt(hypothesis, None, 0, 3000) == doubt


@pytest.mark.parametrize(
    ("logprob", "cut_off", "parts"),
    [
        (-0.1, True, (0.0, HARBOR * 3, 9.0)),
        (-0.8, False, (0.0, HARBOR * 3, 9.0)),
        (-0.1, False, (0.0, HARBOR * 3, 3.0)),  # in three seconds
        (
            -0.1,
            False,
            (0.0, HARBOR, 3.0, 3.0, HARBOR, 6.0, 20.0, HARBOR, 23.0),
        ),  # the last while nobody speaks
    ],
)
def test_a_repetition_nobody_can_have_said_is_a_loop(transcriber, said, logprob, cut_off, parts):
    listener = listening_to(transcriber, 9)
    hypothesis = Hypothesis(said(*parts), 0.0, logprob, 3.0, 0.1, cut_off)
    assert listener.doubt(hypothesis, None, 0, 3000) == Doubt.LOOP
