"""
The transcriber: windows of at most 30 seconds in, segments out.

Where the next window starts is OpenAI's rule (`whisper/transcribe.py`; faster-whisper 1.2.1 has the same):
where the last complete segment ended, or a whole window on when the text ends with a closed one. Dropping the last
segment of every window instead gave 1.7 % word errors and 1.5 x the time where this gives 1.1 %.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .generate import LENGTH_LIMIT, Hypothesis, generate
from .recording import Recording
from .tokens import TIMESTAMP_SECONDS, Vocabulary
from .words import Span, Word, align, place

FRAMES_PER_SECOND = 100
FRAMES_PER_TIMESTAMP = 2
CONTEXT_LIMIT = LENGTH_LIMIT // 2 - 1
UNSAFE_CONTEXT = 0.5  # text found above this temperature is not shown to the next window
# A segment of 7 s that says "The" has 0.4 bytes a second; the slowest sentence of an hour of speech has 6.
PASSED_OVER_SECONDS = 3.0
SPARSE_BYTES_PER_SECOND = 2.0
NEAR_FRAMES = 50  # Whisper's times are up to half a second off; speech this near a segment is its own


@dataclass(frozen=True, slots=True)
class Task:
    """What was asked for, in token numbers where the model reads it."""

    language: str
    sequence: list[int]
    prompt: list[int] = field(default_factory=list)
    hotwords: list[int] = field(default_factory=list)
    beam_size: int = 1
    temperatures: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    word_timestamps: bool = False
    condition_on_previous_text: bool = True


@dataclass(slots=True)
class Segment:
    """Something said, with times in seconds of the whole recording."""

    start: float
    end: float
    tokens: list[int]
    text: str
    words: list[Word] | None = None


class Transcriber:
    """The text of one recording so far, as far as the next window needs it. One session owns it."""

    def __init__(self, model: Any, vocabulary: Vocabulary, recording: Recording, task: Task) -> None:
        self.model = model  # Any: the extension module has no types
        self.vocabulary = vocabulary
        self.recording = recording
        self.task = task
        self.context = list(task.prompt)
        self.said_until = 0.0

    def transcribe(self, encoded: Any, frame: int, frames: int) -> tuple[Hypothesis, list[Segment], int]:
        """What is said in the window of *frames* at *frame*, and the frame where the next one starts."""
        hypothesis = self.generate(encoded, self.context, self.task.temperatures)
        if hypothesis.silence:
            return hypothesis, [], frame + frames
        segments, next_frame, closed = self.split(hypothesis.tokens, frame, frames)
        if self.context and self.passes_over(segments, frame, next_frame):
            # What was said before has led the model astray: without it, it may hear what is there.
            again = self.generate(encoded, [], self.task.temperatures[:1])
            heard = self.split(again.tokens, frame, frames)
            if not (again.silence or again.doubtful or self.passes_over(heard[0], frame, heard[1])):
                hypothesis, (segments, next_frame, closed) = again, heard
        if self.task.word_timestamps:
            self.time_words(segments, encoded, frame, frames)
            said = [word.end for segment in segments for word in segment.words or ()]
            if said and not closed and said[-1] > frame / FRAMES_PER_SECOND:
                next_frame = round(said[-1] * FRAMES_PER_SECOND)
        spoken = [segment for segment in segments if self.is_spoken(segment, frame + frames)]
        for segment in spoken:
            self.context = (self.context + segment.tokens)[-CONTEXT_LIMIT:]
        if not self.task.condition_on_previous_text or hypothesis.temperature > UNSAFE_CONTEXT:
            self.context = []
        # a window that would begin where this one did would never end
        return hypothesis, spoken, next_frame if next_frame > frame else frame + frames

    def generate(
        self,
        encoded: Any,  # the extension module has no types
        context: list[int],
        temperatures: Sequence[float],
    ) -> Hypothesis:
        """What the model makes of a window, with *context* before it."""
        return generate(
            self.model,
            encoded,
            self.prompt(context),
            self.vocabulary,
            beam_size=self.task.beam_size,
            temperatures=temperatures,
        )

    def prompt(self, context: list[int]) -> list[int]:
        """The tokens generation starts from: what was said before, then the task."""
        before = self.task.hotwords[:CONTEXT_LIMIT] + context[-CONTEXT_LIMIT:]
        return ([self.vocabulary.previous, *before] if before else []) + self.task.sequence

    def passes_over(self, segments: list[Segment], frame: int, next_frame: int) -> bool:
        """Whether somebody speaks for some seconds before *next_frame* and next to no text says so."""
        stretches = []
        reached = frame
        for segment in segments:
            begin, end = (round(time * FRAMES_PER_SECOND) for time in (segment.start, segment.end))
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
        if not pairs:
            length = frames / FRAMES_PER_SECOND
            if stamps and tokens[stamps[-1]] != zero:
                length = (tokens[stamps[-1]] - zero) * TIMESTAMP_SECONDS
            start = frame / FRAMES_PER_SECOND
            return [self.segment(start, start + length, tokens)], frame + frames, closed
        cuts = [0, *pairs, *([len(tokens)] if closed else [])]
        segments = [
            self.segment(
                frame / FRAMES_PER_SECOND + (tokens[begin] - zero) * TIMESTAMP_SECONDS,
                frame / FRAMES_PER_SECOND + (tokens[end - 1] - zero) * TIMESTAMP_SECONDS,
                tokens[begin:end],
            )
            for begin, end in itertools.pairwise(cuts)
        ]
        if closed:
            return segments, frame + frames, True
        return segments, frame + (tokens[cuts[-1] - 1] - zero) * FRAMES_PER_TIMESTAMP, False

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
        begin, end = (round(time * FRAMES_PER_SECOND) for time in (segment.start, segment.end))
        speech = self.recording.speech(max(0, begin - NEAR_FRAMES), min(end + NEAR_FRAMES, limit))
        if speech is None:
            return False
        if segment.words is None:
            segment.start = max(segment.start, (speech[0] - NEAR_FRAMES) / FRAMES_PER_SECOND)
            segment.end = min(segment.end, (speech[1] + NEAR_FRAMES) / FRAMES_PER_SECOND)
        return True

    def time_words(self, segments: list[Segment], encoded: Any, frame: int, frames: int) -> None:
        """Give *segments* their words, and the times the words suggest."""
        end_of_text = self.vocabulary.end_of_text
        texts = [[token for token in segment.tokens if token < end_of_text] for segment in segments]
        words = align(
            self.model,
            encoded,
            texts,
            self.vocabulary,
            sequence=self.task.sequence,
            language=self.task.language,
            frames=frames,
        )
        spans = [Span(segment.start, segment.end, []) for segment in segments]
        offset = frame / FRAMES_PER_SECOND
        self.said_until = place(words, spans, [len(text) for text in texts], offset, self.said_until)
        for segment, span in zip(segments, spans, strict=True):
            segment.start, segment.end, segment.words = span.start, span.end, span.words
