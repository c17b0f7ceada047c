"""
When each word was said: the decoder's attention to the audio, aligned with the text.

The corrections of implausible durations are those of OpenAI's `whisper/timing.py`, as faster-whisper 1.2.1 has them.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from ..native import Encoded, Model
from .generate import Task
from .tokens import Vocabulary

SENTENCE_ENDS = ".。!！?？"
JOINED_TO_NEXT = "\"'“¿([{-"
JOINED_TO_LAST = "\"'.。,，!！?？:：”)]}、"
FRAMES_PER_SECOND, TOKENS_PER_SECOND = 100, 50
LONGEST_MEDIAN_SECONDS = 0.7
TOLERANCE_SECONDS = 0.5  # the segment's own times win over a word that leaves them by more


@dataclass(slots=True)
class Word:
    """One word with its punctuation and the space before it; times in seconds."""

    text: str
    start: float
    end: float
    probability: float
    tokens: list[int]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.start


@dataclass(slots=True)
class Segment:
    """Something said, with times in seconds of the whole recording."""

    start: float
    end: float
    tokens: list[int]
    text: str
    words: list[Word] | None = None

    @property
    def frames(self) -> tuple[int, int]:
        """Where it begins and ends, in frames of 10 ms."""
        return round(self.start * FRAMES_PER_SECOND), round(self.end * FRAMES_PER_SECOND)


def align(
    model: Model, encoded: Encoded, tokens: list[int], vocabulary: Vocabulary, task: Task, frames: int
) -> list[Word]:
    """The words of the text *tokens*, timed from the beginning of the window of *frames*."""
    if not tokens:
        return []
    result = model.align(encoded, task.sequence, [tokens], frames, median_filter_width=7)[0]
    begins: dict[int, float] = {}  # when each token is first attended to
    for token_index, time_index in result.alignments:
        begins.setdefault(token_index, time_index / TOKENS_PER_SECOND)
    words = []
    at = 0
    for text, own in vocabulary.words([*tokens, vocabulary.end_of_text], task.language)[:-1]:
        after = at + len(own)
        chance = fmean(result.text_token_probs[at:after])
        words.append(Word(text, begins[at], begins[after], chance, own))
        at = after
    return words


def usual_seconds(words: Sequence[Word]) -> float:
    """How long a word lasts in a window, 0 where none does; twice that is the longest plausible."""
    lasting = [word.seconds for word in words if word.seconds]
    return min(LONGEST_MEDIAN_SECONDS, median(lasting)) if lasting else 0.0


def place(
    words: list[Word], segments: Sequence[Segment], lengths: Sequence[int], offset: float, said_until: float
) -> float:
    """
    Give each of *segments* its words (of *lengths* tokens), timed in the recording, and the times they suggest.

    *offset* is where the window begins, *said_until* the end of the speech before it; returned is the one after it.
    """
    usual = usual_seconds(words)
    if usual:
        shorten_at_sentence_ends(words, 2 * usual)
    join_punctuation(words)
    coming = iter(words)
    for segment, length in zip(segments, lengths, strict=True):
        segment.words = []
        taken = 0
        while taken < length and (word := next(coming, None)):
            taken += len(word.tokens)
            if word.text:
                word.start = round(offset + word.start, 2)
                word.end = round(offset + word.end, 2)
                segment.words.append(word)
        if segment.words:
            shorten_after_pause(segment.words, usual, said_until)
            reconcile(segment, segment.words[0], segment.words[-1], usual)
            said_until = segment.end
    return said_until


def shorten_at_sentence_ends(words: list[Word], longest: float) -> None:
    """A full stop, or the word after it, swallows the pause between sentences: cut it off."""
    for before, word in itertools.pairwise(words):
        if word.seconds > longest:
            if word.text in SENTENCE_ENDS:
                word.end = word.start + longest
            elif before.text in SENTENCE_ENDS:
                word.start = word.end - longest


def join_punctuation(words: list[Word]) -> None:
    """Opening marks join the word that follows, all others the word before; what is joined stays empty."""
    following = len(words) - 1
    for index in range(len(words) - 2, -1, -1):
        mark = words[index]
        if mark.text.startswith(" ") and mark.text.strip() in JOINED_TO_NEXT:
            words[following].text = mark.text + words[following].text
            words[following].tokens = mark.tokens + words[following].tokens
            mark.text, mark.tokens = "", []
        else:
            following = index
    before = 0
    for index in range(1, len(words)):
        mark = words[index]
        if not words[before].text.endswith(" ") and mark.text in JOINED_TO_LAST:
            words[before].text += mark.text
            words[before].tokens = words[before].tokens + mark.tokens
            mark.text, mark.tokens = "", []
        else:
            before = index


def shorten_after_pause(words: list[Word], usual: float, said_until: float) -> None:
    """After a pause the first word, or the first two, may reach far into it: cut them to plausible lengths."""
    first, longest = words[0], 2 * usual
    second = words[1] if len(words) > 1 else None
    if first.end - said_until <= usual * 4:
        return
    if first.seconds > longest or (second and second.end - first.start > 2 * longest):
        if second and second.seconds > longest:
            first.end = second.start = max(second.end / 2, second.end - longest)
        first.start = max(0, first.end - longest)


def reconcile(segment: Segment, first: Word, last: Word, usual: float) -> None:
    """Where *segment* and its outer words disagree: a long word gives way, else the segment does."""
    if segment.start < first.end and segment.start - TOLERANCE_SECONDS > first.start:
        first.start = max(0, min(first.end - usual, segment.start))
    else:
        segment.start = first.start
    if segment.end > last.start and segment.end + TOLERANCE_SECONDS < last.end:
        last.end = max(last.start + usual, segment.end)
    else:
        segment.end = last.end
