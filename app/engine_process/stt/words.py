"""
When each word was said: the decoder's attention to the audio, aligned with the text.

The corrections of implausible durations are those of OpenAI's `whisper/timing.py`, as faster-whisper 1.2.1 has them.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from .tokens import Vocabulary

SENTENCE_ENDS = ".。!！?？"
JOINED_TO_NEXT = "\"'“¿([{-"
JOINED_TO_LAST = "\"'.。,，!！?？:：”)]}、"
TOKENS_PER_SECOND = 50
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
class Span:
    """A segment's times, which the words in it correct."""

    start: float
    end: float
    words: list[Word]


class Pace:
    """How long words last in a window: the median, and twice that as the longest plausible."""

    def __init__(self, words: Sequence[Word]) -> None:
        lasting = [word.seconds for word in words if word.seconds]
        self.usual = min(LONGEST_MEDIAN_SECONDS, median(lasting)) if lasting else 0.0
        self.longest = 2 * self.usual
        self.known = bool(lasting)


def align(
    model: Any,  # the extension module has no types
    encoded: Any,
    texts: Sequence[Sequence[int]],
    vocabulary: Vocabulary,
    *,
    sequence: list[int],
    language: str,
    frames: int,
) -> list[Word]:
    """The words of *texts* (one per segment) in one list, timed from the beginning of the window."""
    tokens = [token for text in texts for token in text]
    if not tokens:
        return []
    result = model.align(encoded, sequence, [tokens], frames, median_filter_width=7)[0]
    begins: dict[int, float] = {}  # when each token is first attended to
    for token_index, time_index in result.alignments:
        begins.setdefault(token_index, time_index / TOKENS_PER_SECOND)
    words = []
    at = 0
    for text, own in vocabulary.words([*tokens, vocabulary.end_of_text], language)[:-1]:
        after = at + len(own)
        chance = fmean(result.text_token_probs[at:after])
        words.append(Word(text, begins[at], begins[after], chance, own))
        at = after
    return words


def place(
    words: list[Word], spans: Sequence[Span], lengths: Sequence[int], offset: float, said_until: float
) -> float:
    """
    Give each of *spans* its words (of *lengths* tokens), timed in the recording; the end of the last one.

    *offset* is where the window begins, *said_until* the end of the speech before it.
    """
    pace = Pace(words)
    if pace.known:
        shorten_at_sentence_ends(words, pace)
    join_punctuation(words)
    coming = iter(words)
    for span, length in zip(spans, lengths, strict=True):
        taken = 0
        while taken < length and (word := next(coming, None)):
            taken += len(word.tokens)
            if word.text:
                word.start = round(offset + word.start, 2)
                word.end = round(offset + word.end, 2)
                span.words.append(word)
        if span.words:
            shorten_after_pause(span.words, pace, said_until)
            reconcile(span, pace)
            said_until = span.end
    return said_until


def shorten_at_sentence_ends(words: list[Word], pace: Pace) -> None:
    """A full stop, or the word after it, swallows the pause between sentences: cut it off."""
    for before, word in itertools.pairwise(words):
        if word.seconds > pace.longest:
            if word.text in SENTENCE_ENDS:
                word.end = word.start + pace.longest
            elif before.text in SENTENCE_ENDS:
                word.start = word.end - pace.longest


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


def shorten_after_pause(words: list[Word], pace: Pace, said_until: float) -> None:
    """After a pause the first word, or the first two, may reach far into it: cut them to plausible lengths."""
    first = words[0]
    second = words[1] if len(words) > 1 else None
    if first.end - said_until <= pace.usual * 4:
        return
    if first.seconds > pace.longest or (second and second.end - first.start > 2 * pace.longest):
        if second and second.seconds > pace.longest:
            first.end = second.start = max(second.end / 2, second.end - pace.longest)
        first.start = max(0, first.end - pace.longest)


def reconcile(span: Span, pace: Pace) -> None:
    """Where a segment and its outer words disagree: a long word gives way, else the segment does."""
    first, last = span.words[0], span.words[-1]
    if span.start < first.end and span.start - TOLERANCE_SECONDS > first.start:
        first.start = max(0, min(first.end - pace.usual, span.start))
    else:
        span.start = first.start
    if span.end > last.start and span.end + TOLERANCE_SECONDS < last.end:
        last.end = max(last.start + pace.usual, span.end)
    else:
        span.end = last.end
