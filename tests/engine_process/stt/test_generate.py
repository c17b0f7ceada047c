import pytest

from app.engine_process.stt.generate import Attempt, Hypothesis, generate

LIKELY, UNLIKELY = -0.2, -2.0


@pytest.mark.parametrize(
    ("logprob", "no_speech", "silent"),
    [(UNLIKELY, 0.9, True), (LIKELY, 0.9, False), (UNLIKELY, 0.1, False)],
)
def test_silence_is_unlikely_text_where_no_speech_was_heard(logprob, no_speech, silent):
    assert Hypothesis([1], 0.0, logprob, 1.0, no_speech).silence is silent


@pytest.mark.parametrize(
    ("prompt", "tokens", "cut_off"), [(1, 224, True), (1, 223, False), (300, 149, True), (300, 148, False)]
)
def test_a_text_that_fills_the_room_there_is_was_cut_off(whisper, prompt, tokens, cut_off):
    """CTranslate2 ends a text at half of the 448 tokens, or where the prompt leaves less."""

    class Model:
        def generate(self, encoded, prompts, **options):
            return [
                type("Result", (), {"sequences_ids": [[11] * tokens], "scores": [-1], "no_speech_prob": 0})
            ]

    found = generate(Model(), None, [1] * prompt, whisper.vocabulary, beam_size=1, attempt=Attempt())
    assert found.cut_off is cut_off
