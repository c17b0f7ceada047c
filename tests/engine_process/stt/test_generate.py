from dataclasses import dataclass

import pytest

from app.engine_process.stt.generate import Hypothesis, generate
from app.engine_process.stt.tokens import Vocabulary

LIKELY, UNLIKELY = -0.2, -2.0


@dataclass
class Result:
    sequences_ids: list
    scores: list
    no_speech_prob: float


class Generator:
    """Stands for the model where a test needs answers no audio gives reliably; it notes how it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def generate(self, encoded, prompts, **options):
        self.asked.append(options.get("sampling_temperature", 0.0))
        return [self.answers.pop(0)]


@pytest.fixture(scope="module")
def vocabulary(model_dir):
    return Vocabulary(model_dir)


def answer(vocabulary, text, score, no_speech_prob=0.0):
    return Result([vocabulary.encode(text)], [score], no_speech_prob)


def run(model, vocabulary):
    return generate(model, None, [], vocabulary, beam_size=1, temperatures=(0.0, 0.2, 0.4))


def test_a_likely_text_is_taken_at_once(vocabulary):
    model = Generator(answer(vocabulary, " Good morning.", LIKELY))
    assert run(model, vocabulary).temperature == 0
    assert model.asked == [0.0]


def test_a_repetitive_text_is_tried_again(vocabulary):
    model = Generator(
        answer(vocabulary, " again and again" * 20, LIKELY), answer(vocabulary, " Good morning.", LIKELY)
    )
    assert vocabulary.decode(run(model, vocabulary).tokens) == " Good morning."
    assert model.asked == [0.0, 0.2]


def test_after_all_attempts_the_likeliest_that_does_not_repeat_itself_is_taken(vocabulary):
    model = Generator(
        answer(vocabulary, " again and again" * 20, -0.1),
        answer(vocabulary, " One.", -1.9),
        answer(vocabulary, " Two.", -1.8),
        answer(vocabulary, " Three.", -1.7),
        answer(vocabulary, " Four.", -1.9),
    )
    best = run(model, vocabulary)
    assert vocabulary.decode(best.tokens) == " Three."
    assert best.temperature == 0.4  # so that the next window does not build on it


def test_unlikely_text_over_silence_is_not_tried_again(vocabulary):
    model = Generator(answer(vocabulary, " Thank you.", UNLIKELY, no_speech_prob=0.9))
    assert run(model, vocabulary).silence


@pytest.mark.parametrize(
    ("logprob", "no_speech", "silent"),
    [(UNLIKELY, 0.9, True), (LIKELY, 0.9, False), (UNLIKELY, 0.1, False)],
)
def test_silence_is_unlikely_text_where_no_speech_was_heard(logprob, no_speech, silent):
    assert Hypothesis([1], 0.0, logprob, 1.0, no_speech).silence is silent
