"""Segments as subtitles: cues that can be read in time, as SubRip (SRT) and WebVTT."""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .transcription import Segment, Transcription, Word

# What subtitling guides agree on (BBC Subtitle Guidelines, Netflix Timed Text Style Guide).
LINE_WIDTH = 42
LINES = 2
LONGEST_SECONDS = 7.0
SHORTEST_SECONDS = 1.0

SENTENCE_END = (".", "?", "!", "…", "。", "？", "！")
CLAUSE_END = (",", ";", ":", "—", "、", "，")
BREAK_FROM = 0.5  # a cue ends at punctuation in its second half rather than being filled to the last word


class Token(NamedTuple):
    """A word with the space before it (a character where words have no spaces), and its time in seconds."""

    text: str
    start: float
    end: float


class Cue(NamedTuple):
    """One or two lines, and from when to when they are shown, in seconds."""

    start: float
    end: float
    lines: tuple[str, ...]


def srt(segments: Iterable[Segment], done: Transcription) -> Iterator[str]:
    """SubRip, cue by cue."""
    for number, cue in enumerate(cues(segments, done), 1):
        lines = re.sub("--+>", "->", "\n".join(cue.lines))  # the arrow would end the cue for a parser
        yield f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{lines}\n\n"


def vtt(segments: Iterable[Segment], done: Transcription) -> Iterator[str]:
    """WebVTT: its header, then cue by cue."""
    yield "WEBVTT\n\n"
    for cue in cues(segments, done):
        lines = "\n".join(cue.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        yield f"{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n{lines}\n\n"


def clock(seconds: float, point: str) -> str:
    """*seconds* as HH:MM:SS and milliseconds after *point*."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def cues(segments: Iterable[Segment], done: Transcription) -> Iterator[Cue]:
    """
    Cues in order, none over another, each within LINES of LINE_WIDTH and LONGEST_SECONDS.

    A short one stays for SHORTEST_SECONDS where the next leaves it the time; the last, where the recording goes on for
    so long, which *done* knows when the last segment has come.
    """
    shown = 0.0  # until when the cue before is on the screen
    for part, following in itertools.pairwise(itertools.chain(_parts(segments), [[]])):
        start = max(part[0].start, shown)
        end = min(max(part[-1].end, start + SHORTEST_SECONDS), start + LONGEST_SECONDS)
        if not following:
            end = max(start, min(end, max(part[-1].end, done.duration_seconds)))
        else:
            # Where two begin together, the first still gets a moment.
            end = min(end, max(following[0].start, start + 0.1))
        shown = end
        yield Cue(start, end, _lines(part))


def _parts(segments: Iterable[Segment]) -> Iterator[list[Token]]:
    """The tokens of each cue."""
    for segment in segments:
        rest = list(_tokens(segment))
        while rest:
            size = _part_size(rest)
            yield rest[:size]
            rest = rest[size:]


def _tokens(segment: Segment) -> Iterator[Token]:
    """The words of *segment* in pieces, each with a part of the word's time; without word times, of the segment's."""
    for word in segment.words or [Word(segment.text, segment.start, segment.end, 1.0)]:
        pieces = list(_pieces(word.word))
        length, total, said = max(0.0, word.end - word.start), sum(map(len, pieces)), 0
        for piece in pieces:
            begins = word.start + length * said / total
            said += len(piece)
            yield Token(piece, begins, word.start + length * said / total)


def _pieces(text: str) -> Iterator[str]:
    """Words with the space before them; wide characters (Chinese, Japanese) one by one, long words cut."""
    for word in re.findall(r"\s*\S+", text):
        space, letters = (" ", word.lstrip()) if word[0].isspace() else ("", word)
        step = 1 if any(_is_wide(letter) for letter in letters) else LINE_WIDTH
        for begin in range(0, len(letters), step):
            yield (space if begin == 0 else "") + letters[begin : begin + step]


def _part_size(tokens: list[Token]) -> int:
    """How many of *tokens* make the next cue."""
    most = 1
    while most < len(tokens):
        longer = tokens[: most + 1]
        if longer[-1].end - longer[0].start > LONGEST_SECONDS or _filled(longer) > LINES:
            break
        most += 1
    if most == len(tokens):
        return most
    ends = [size for size in range(most, 0, -1) if _begins_word(tokens[size])]
    for marks in (SENTENCE_END, CLAUSE_END):
        for size in ends:
            if size >= most * BREAK_FROM and tokens[size - 1].text.endswith(marks):
                return size
    # Nowhere to pause: cues of about the same length, rather than a full one and a last word alone.
    even = -(-len(tokens) // -(-len(tokens) // most))
    return next((size for size in ends if size <= even), most)


def _begins_word(token: Token) -> bool:
    return token.text.startswith(" ") or _is_wide(token.text[0])


def _filled(tokens: list[Token]) -> int:
    """How many lines *tokens* take when each is filled before the next is begun."""
    lines, line = 1, ""
    for token in tokens:
        if line and _width((line + token.text).strip()) > LINE_WIDTH:
            lines, line = lines + 1, ""
        line += token.text
    return lines


def _lines(tokens: list[Token]) -> tuple[str, ...]:
    """One line where it fits, else two, as equal as they can be, with a pause between them if possible."""
    whole = _joined(tokens)
    if _width(whole) <= LINE_WIDTH:
        return (whole,)
    splits = []
    for size in range(1, len(tokens)):
        pair = (_joined(tokens[:size]), _joined(tokens[size:]))
        longer = max(map(_width, pair))
        if longer <= LINE_WIDTH:
            pause = pair[0].endswith(SENTENCE_END + CLAUSE_END)
            splits.append((longer - (6 if pause else 0) + (0 if _begins_word(tokens[size]) else 99), pair))
    return min(splits)[1] if splits else (whole,)


def _joined(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens).strip()


def _width(text: str) -> int:
    """Columns: a wide character takes two."""
    return sum(2 if _is_wide(character) else 1 for character in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
