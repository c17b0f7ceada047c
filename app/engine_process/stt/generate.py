"""
Text of one window: generation by the model, repeated more freely where the result looks wrong.

The rules and thresholds are OpenAI's (`whisper/transcribe.py`), in the form faster-whisper 1.2.1 gives them.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .tokens import TIMESTAMP_SECONDS, Vocabulary

REPETITIVE = 2.4  # above this compression ratio the text repeats itself
UNLIKELY = -1.0  # below this mean log probability the model guesses
SILENT = 0.6  # above this probability of no speech, an unlikely text is none
# The stock call draws five samples at once and takes the likeliest, which needs 110 MB more with tiny.en and 146
# with base. Here they are drawn one after the other until one is not doubtful.
SAMPLES = 2
LATEST_START_SECONDS = 1.0
LENGTH_LIMIT = 448


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the model makes of a window; *tokens* include the timestamps."""

    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float

    @property
    def silence(self) -> bool:
        """The model heard no speech, and what it says is not so likely that this can't be."""
        return self.no_speech_prob > SILENT and self.avg_logprob <= UNLIKELY

    @property
    def doubtful(self) -> bool:
        """Worth another try at a higher temperature."""
        if self.no_speech_prob > SILENT and self.avg_logprob < UNLIKELY:
            return False
        return self.compression_ratio > REPETITIVE or self.avg_logprob < UNLIKELY


def generate(
    model: Any,  # the extension module has no types
    encoded: Any,
    prompt: list[int],
    vocabulary: Vocabulary,
    *,
    beam_size: int,
    temperatures: Sequence[float],
) -> Hypothesis:
    """
    The first hypothesis not doubtful, else the likeliest that does not repeat itself.

    In the latter case its temperature is the last one tried, so that it is not taken for a safe context.
    """
    tried = []
    for temperature in temperatures:
        for _ in range(SAMPLES if temperature > 0 else 1):
            hypothesis = attempt(
                model, encoded, prompt, vocabulary, beam_size=beam_size, temperature=temperature
            )
            if not hypothesis.doubtful:
                return hypothesis
            tried.append(hypothesis)
    candidates = [each for each in tried if each.compression_ratio <= REPETITIVE] or tried
    best = max(candidates, key=lambda each: each.avg_logprob)
    return replace(best, temperature=temperatures[-1])


def attempt(
    model: Any, encoded: Any, prompt: list[int], vocabulary: Vocabulary, *, beam_size: int, temperature: float
) -> Hypothesis:
    """One generation: a beam search at temperature 0, else a sample."""
    if temperature > 0:
        search = {"beam_size": 1, "sampling_topk": 0, "sampling_temperature": temperature}
    else:
        search = {"beam_size": beam_size}
    result = model.generate(
        encoded,
        [prompt],
        max_length=LENGTH_LIMIT,
        return_scores=True,
        return_no_speech_prob=True,
        suppress_blank=True,
        suppress_tokens=vocabulary.suppressed,
        max_initial_timestamp_index=round(LATEST_START_SECONDS / TIMESTAMP_SECONDS),
        **search,
    )[0]
    tokens: list[int] = result.sequences_ids[0]
    # CTranslate2 gives the mean over the tokens; the end of the text counts as one more.
    logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
    text = vocabulary.decode(tokens).strip().encode()
    return Hypothesis(
        tokens, temperature, logprob, len(text) / len(zlib.compress(text)), result.no_speech_prob
    )
