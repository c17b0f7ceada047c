"""
Text of one window: one attempt of the model.

The thresholds are OpenAI's (`whisper/transcribe.py`), as faster-whisper 1.2.1 has them.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..native import Encoded, Model
from .tokens import TIMESTAMP_SECONDS, Vocabulary

REPETITIVE = 2.4  # above this compression ratio the text repeats itself
UNLIKELY = -1.0  # below this mean log probability the model guesses
SILENT = 0.6  # above this probability of no speech, an unlikely text is none
LATEST_START_SECONDS = 1.0
LENGTH_LIMIT = 448  # tokens of prompt and text; CTranslate2 lets a text have half of them


@dataclass(frozen=True, slots=True)
class Task:
    """What was asked for, in token numbers where the model reads it."""

    language: str
    sequence: list[int]
    prompt: list[int] = field(default_factory=list)
    hotwords: list[int] = field(default_factory=list)
    beam_size: int = 1
    temperature: float | None = None  # None: greedy, and other attempts where that is doubtful
    word_timestamps: bool = False
    condition_on_previous_text: bool = True
    may_be_foreign: bool = False  # the model knows English only, and nobody said that this is English


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One way of generating.

    At temperature 0 it is a beam search with the same result each time. Above, it is a sample: CTranslate2 draws it
    from a generator of its own that can't be seeded again. *with_context* says whether the text before is shown.
    """

    temperature: float = 0.0
    with_context: bool = True
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the model makes of a window; *tokens* include the timestamps. *cut_off*: it ended at the limit."""

    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    cut_off: bool = False

    @property
    def repetitive(self) -> bool:
        """The text repeats itself."""
        return self.compression_ratio > REPETITIVE

    @property
    def silence(self) -> bool:
        """The model heard no speech, and what it says is not so likely that this can't be."""
        return self.no_speech_prob > SILENT and self.avg_logprob <= UNLIKELY


def generate(
    model: Model,
    encoded: Encoded,
    prompt: list[int],
    vocabulary: Vocabulary,
    *,
    beam_size: int,
    attempt: Attempt,
    stands: Sequence[int] = (),
    most_tokens: int = LENGTH_LIMIT // 2,
) -> Hypothesis:
    """
    The model's text for the window *encoded*, after the tokens of *prompt*.

    It begins with those that *stand*, and has at most *most_tokens* beside them: a loop ends there.
    """
    before = len(prompt) + len(stands)
    most_tokens = min(most_tokens, LENGTH_LIMIT // 2, LENGTH_LIMIT + 1 - before)
    search: dict[str, float] = {"beam_size": beam_size}
    if attempt.temperature > 0:
        search = {"beam_size": 1, "sampling_topk": 0, "sampling_temperature": attempt.temperature}
    result = model.generate(
        encoded,
        [[*prompt, *stands]],
        # CTranslate2 takes half of it at most, or what the prompt leaves.
        max_length=max(2 * most_tokens, most_tokens + before - 1),
        return_scores=True,
        return_no_speech_prob=True,
        suppress_blank=True,
        suppress_tokens=vocabulary.suppressed,
        max_initial_timestamp_index=round(LATEST_START_SECONDS / TIMESTAMP_SECONDS),
        repetition_penalty=attempt.repetition_penalty,
        no_repeat_ngram_size=attempt.no_repeat_ngram_size,
        **search,
    )[0]
    tokens: list[int] = result.sequences_ids[0]
    text = vocabulary.decode(tokens).strip().encode()
    return Hypothesis(
        tokens,
        attempt.temperature,
        # CTranslate2 gives the mean over the tokens; the end of the text counts as one more, what stands for nothing.
        avg_logprob=result.scores[0] * len(tokens) / (len(tokens) - len(stands) + 1),
        compression_ratio=len(text) / len(zlib.compress(text)),
        no_speech_prob=result.no_speech_prob,
        cut_off=len(tokens) - len(stands) >= most_tokens,
    )
