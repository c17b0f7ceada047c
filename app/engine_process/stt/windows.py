"""
The transcriber: windows of at most 30 seconds in, segments out.

Where the next window starts is OpenAI's rule (`whisper/transcribe.py`; faster-whisper 1.2.1 has the same):
where the last complete segment ended, or a whole window on when the text ends with a closed one. Dropping the last
segment of every window instead gave 1.7 % word errors and 1.5 x the time where this gives 1.1 %.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from enum import IntEnum

from ..native import Encoded, Model
from .generate import LENGTH_LIMIT, UNLIKELY, Attempt, Hypothesis, Task, generate
from .recording import Recording
from .tokens import TIMESTAMP_SECONDS, Vocabulary
from .words import FRAMES_PER_SECOND, Segment, Word, align, place

FRAMES_PER_TIMESTAMP = 2
CONTEXT_LIMIT = LENGTH_LIMIT // 2 - 1
UNSAFE_CONTEXT = 0.5  # text sampled above this temperature is not shown to the next window

# The attempts at a window, until nothing speaks against the text. OpenAI draws samples at rising temperatures instead,
# and takes the first that repeats itself less, however unlikely it is. These give the same text at every run.
ATTEMPTS = (Attempt(), Attempt(with_context=False))
# A penalty of 1.05 ends most loops and changes little else; no five tokens twice ends all of them.
ATTEMPTS_AGAINST_LOOPS = (
    Attempt(with_context=False, repetition_penalty=1.05),
    Attempt(with_context=False, no_repeat_ngram_size=5),
)
SAMPLES = 2  # at a temperature that was asked for
# Greedy text that is less likely than this is searched again with two beams, and the likelier of both stands
# (docs/decisions/0076).
UNSURE, BEAMS = -0.45, 2

# A segment of 7 s that says "The" has 0.4 bytes a second; the slowest sentence of an hour of speech has 6.
PASSED_OVER_SECONDS = 3.0
SPARSE_BYTES_PER_SECOND = 2.0
NEAR_FRAMES = 50  # Whisper's times are up to half a second off; speech this near a segment is its own
SPOKEN_SECONDS = 1.0  # with this much speech in it, a window without text is doubtful

# What a short window's text must be to stand; docs/decisions/0070-short-windows.md has the figures.
SURE = -0.7
LEFT_SECONDS = 0.5  # of speech after its end; and of nothing before its end

# What tells words that are said again and again from a loop of the decoder. Of 150 recordings with sentences said two
# to fifteen times, no segment had more than 29 characters a second of speech, no text less than a log probability of
# -0.35, and at most 30 % of words were such to which the decoder's attention gives no time. Each of 60 loops broke one
# of these limits.
FASTEST_CHARACTERS_PER_SECOND = 32.0
UNLIKELY_REPETITION = -0.6
WORDS_WITHOUT_TIME = 0.35
SHORTEST_WORD_SECONDS = 0.03

# A model that knows English only is surer of English than of anything else: of 55 windows of 2 to 30 s in other
# languages none was above this, and of 80 in English 11 short ones were below (docs/decisions/0090).
SURELY_ENGLISH = -0.7


class Foreign(Exception):
    """Another model is to transcribe this: one of English alone may hear something else, or another hears English."""


class Doubt(IntEnum):
    """What speaks against a hypothesis; the larger, the worse it is as a text."""

    NONE = 0
    SOME = 1  # the model guesses, or passes over speech
    SILENCE = 2  # it has no text, though somebody speaks
    LOOP = 3  # it repeats what nobody said again


class Transcriber:
    """The text of one recording so far, as far as the next window needs it. One session owns it."""

    def __init__(self, model: Model, vocabulary: Vocabulary, recording: Recording, task: Task) -> None:
        self.model = model
        self.vocabulary = vocabulary
        self.recording = recording
        self.task = task
        self.context = list(task.prompt)
        self.said_until = 0.0
        self.stands: list[int] = []  # tokens that the next text begins with
        self.may_be_foreign = task.may_be_foreign
        self.most_tokens = LENGTH_LIMIT // 2  # a window is given

    def segments(
        self, hypothesis: Hypothesis, doubt: Doubt, encoded: Encoded, frame: int, frames: int
    ) -> tuple[list[Segment], int]:
        """What is said in the window of *frames* at *frame*, and the frame where the next one starts."""
        if hypothesis.silence:
            return [], frame + frames
        segments, next_frame, closed = self.split(hypothesis.tokens, frame, frames)
        if self.task.word_timestamps:
            words = self.align(segments, encoded, frames)
            lengths = [len(self.vocabulary.text_tokens(segment.tokens)) for segment in segments]
            self.said_until = place(words, segments, lengths, frame / FRAMES_PER_SECOND, self.said_until)
            said = [word.end for segment in segments for word in segment.words or ()]
            if said and not closed and said[-1] > frame / FRAMES_PER_SECOND:
                next_frame = round(said[-1] * FRAMES_PER_SECOND)
        spoken = [segment for segment in segments if self.is_spoken(segment, frame + frames)]
        for segment in spoken:
            self.context = (self.context + segment.tokens)[-CONTEXT_LIMIT:]
        if not self.task.condition_on_previous_text or doubt or hypothesis.temperature > UNSAFE_CONTEXT:
            self.context = []
        # a window that would begin where this one did would never end
        return spoken, next_frame if next_frame > frame else frame + frames

    def best_hypothesis(
        self, encoded: Encoded, frame: int, frames: int, *, is_short: bool = False
    ) -> tuple[Hypothesis, Doubt]:
        """
        The first hypothesis that nothing speaks against, else the likeliest of the least doubtful.

        Where *encoded* is short there is one attempt, and more speaks against it: it can be encoded again. Foreign: the
        task lets it be another language, and the first text does not look like English.
        """
        tried: list[tuple[Doubt, Hypothesis]] = []
        for attempt in self.attempts(tried):
            hypothesis = self.hear(encoded, attempt)
            doubt = self.doubt(hypothesis, encoded, frame, frames)
            if is_short and not doubt and self.may_be_wrong(hypothesis, frame, frames):
                doubt = Doubt.SOME
            tried.append((doubt, hypothesis))
            # A doubtful short window is heard again, and decided upon then.
            if self.may_be_foreign and not (is_short and doubt) and (doubt or not hypothesis.silence):
                # Said again and again, a foreign sentence has an English text that becomes more and more likely.
                unsure = hypothesis.repetitive or hypothesis.avg_logprob < SURELY_ENGLISH
                if unsure or doubt in (Doubt.SILENCE, Doubt.LOOP):
                    raise Foreign
                self.may_be_foreign = False
            if is_short or not doubt:
                break
        doubt, hypothesis = min(tried, key=lambda each: (each[0], -each[1].avg_logprob))
        return hypothesis, doubt

    def hear(self, encoded: Encoded, attempt: Attempt) -> Hypothesis:
        """The model's text, of two searches the likelier where the first leaves it unsure."""
        hypothesis = self.search(encoded, attempt, self.task.beam_size)
        # What may be foreign shall not be made to look like English.
        least = SURELY_ENGLISH if self.may_be_foreign else -math.inf
        if self.task.beam_size == 1 and attempt in ATTEMPTS and least <= hypothesis.avg_logprob < UNSURE:
            second = self.search(encoded, attempt, BEAMS)
            hypothesis = max(hypothesis, second, key=lambda each: each.avg_logprob)
        return hypothesis

    def search(self, encoded: Encoded, attempt: Attempt, beam_size: int) -> Hypothesis:
        """The model's text as one search finds it; it begins with what stands."""
        return generate(
            self.model,
            encoded,
            self.prompt(self.context if attempt.with_context else []),
            self.vocabulary,
            beam_size=beam_size,
            attempt=attempt,
            stands=self.stands,
            most_tokens=self.most_tokens,
        )

    def attempts(self, tried: Sequence[tuple[Doubt, Hypothesis]]) -> Iterator[Attempt]:
        """What to try, one after the other; *tried* grows meanwhile."""
        if self.task.temperature:
            yield from [Attempt(self.task.temperature)] * SAMPLES
            return
        yield from ATTEMPTS if self.context else ATTEMPTS[:1]
        if any(doubt in (Doubt.LOOP, Doubt.SILENCE) for doubt, _ in tried):
            yield from ATTEMPTS_AGAINST_LOOPS

    def may_be_wrong(self, hypothesis: Hypothesis, frame: int, frames: int) -> bool:
        """Whether text of a short window is unlikely, repeats itself, or ends before the speech or after the sound."""
        if hypothesis.silence:
            return False
        segments, _, _ = self.split(hypothesis.tokens, frame, frames)
        end = segments[-1].frames[1] if segments else frame
        return (
            hypothesis.repetitive
            # The rest of a text of which words stand is less likely than a whole one.
            or (hypothesis.avg_logprob < SURE and not self.stands)
            or end - (frame + frames) > LEFT_SECONDS * FRAMES_PER_SECOND
            or self.recording.spoken_seconds(end + NEAR_FRAMES, frame + frames) > LEFT_SECONDS
        )

    def doubt(self, hypothesis: Hypothesis, encoded: Encoded, frame: int, frames: int) -> Doubt:
        """What speaks against *hypothesis* as the text of the window."""
        speaks = self.recording.spoken_seconds(frame, frame + frames) >= SPOKEN_SECONDS
        if hypothesis.silence:
            return Doubt.SILENCE if speaks else Doubt.NONE
        segments, next_frame, _ = self.split(hypothesis.tokens, frame, frames)
        if hypothesis.repetitive and not self.is_repeated_speech(
            hypothesis, segments, encoded, frame, frames
        ):
            return Doubt.LOOP
        if speaks and not any(segment.text.strip() for segment in segments):
            return Doubt.SILENCE
        if hypothesis.avg_logprob < UNLIKELY or self.passes_over(segments, frame, next_frame):
            return Doubt.SOME
        return Doubt.NONE

    def is_repeated_speech(
        self, hypothesis: Hypothesis, segments: list[Segment], encoded: Encoded, frame: int, frames: int
    ) -> bool:
        """
        Whether text that repeats itself was said so: a prayer, a chorus, "no, no, no".

        A loop of the decoder ends at the limit of tokens, or has more text than anybody can say in the time, or
        segments where nobody speaks, or words to which the decoder's attention gives no time.
        """
        if hypothesis.cut_off or hypothesis.avg_logprob < UNLIKELY_REPETITION:
            return False
        for segment in segments:
            begin, end = segment.frames
            spoken = float(end - begin)
            if self.recording.detector is not None:
                spoken = (
                    self.recording.spoken_seconds(begin - NEAR_FRAMES, end + NEAR_FRAMES) * FRAMES_PER_SECOND
                )
            if len(segment.text) * FRAMES_PER_SECOND > spoken * FASTEST_CHARACTERS_PER_SECOND:
                return False
        words = self.align(segments, encoded, frames)
        without_time = sum(word.seconds < SHORTEST_WORD_SECONDS for word in words)
        return without_time <= WORDS_WITHOUT_TIME * len(words)

    def prompt(self, context: list[int]) -> list[int]:
        """The tokens generation starts from: what was said before, then the task."""
        before = (self.task.hotwords[:CONTEXT_LIMIT] + context[-CONTEXT_LIMIT:])[len(self.stands) :]
        return ([self.vocabulary.previous, *before] if before else []) + self.task.sequence

    def passes_over(self, segments: list[Segment], frame: int, next_frame: int) -> bool:
        """Whether somebody speaks for some seconds before *next_frame* and next to no text says so."""
        stretches = []
        reached = frame
        for segment in segments:
            begin, end = segment.frames
            stretches += [(reached, begin, ""), (begin, end, segment.text.strip())]
            reached = end
        for begin, end, text in [*stretches, (reached, next_frame, "")]:
            spoken = self.recording.spoken_seconds(begin, end)
            if spoken >= PASSED_OVER_SECONDS and len(text.encode()) < spoken * SPARSE_BYTES_PER_SECOND:
                return True
        return False

    def split(self, tokens: list[int], frame: int, frames: int) -> tuple[list[Segment], int, bool]:
        """
        The segments between pairs of timestamps, the next window's frame, and whether the last one is closed.

        A timestamp alone at the end says that no speech follows; without it, text after the last pair
        is cut off by the window's end and is heard again in the next window.
        """
        zero = self.vocabulary.timestamp_begin
        stamps = [index for index, token in enumerate(tokens) if token >= zero]
        pairs = [index for index in stamps if index and tokens[index - 1] >= zero]
        closed = len(tokens) > 1 and tokens[-2] < zero <= tokens[-1]
        start = frame / FRAMES_PER_SECOND
        if not pairs:
            length = frames / FRAMES_PER_SECOND
            if stamps and tokens[stamps[-1]] != zero:
                length = (tokens[stamps[-1]] - zero) * TIMESTAMP_SECONDS
            return [self.segment(start, start + length, tokens)], frame + frames, closed
        segments = []
        for begin, end in itertools.pairwise([0, *pairs, *([len(tokens)] if closed else [])]):
            first, last = (start + (tokens[at] - zero) * TIMESTAMP_SECONDS for at in (begin, end - 1))
            segments.append(self.segment(first, last, tokens[begin:end]))
        if not closed:
            frames = (tokens[pairs[-1] - 1] - zero) * FRAMES_PER_TIMESTAMP
        return segments, frame + frames, closed

    def segment(self, start: float, end: float, tokens: list[int]) -> Segment:
        """*tokens* as a segment."""
        return Segment(start, end, tokens, self.vocabulary.decode(tokens))

    def is_spoken(self, segment: Segment, limit: int) -> bool:
        """
        Whether it has text and the detector heard someone: "Thank you." over noise has no speech under it.

        Where it reaches far into silence its times are drawn in to the speech; *limit* is the window's end.
        """
        if segment.start == segment.end or not segment.text.strip():
            return False
        begin, end = segment.frames
        speech = self.recording.speech(max(0, begin - NEAR_FRAMES), min(end + NEAR_FRAMES, limit))
        if speech is None:
            return False
        if segment.words is None:
            segment.start = max(segment.start, (speech[0] - NEAR_FRAMES) / FRAMES_PER_SECOND)
            segment.end = min(segment.end, (speech[1] + NEAR_FRAMES) / FRAMES_PER_SECOND)
        return True

    def align(self, segments: Sequence[Segment], encoded: Encoded, frames: int) -> list[Word]:
        """The words of *segments*, timed from the beginning of the window of *frames*."""
        tokens = self.vocabulary.text_tokens([token for segment in segments for token in segment.tokens])
        return align(self.model, encoded, tokens, self.vocabulary, self.task, frames)
