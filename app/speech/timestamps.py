"""When each word of a text is said, by when the words are said that its engine, or Whisper, knows of."""

import difflib
from collections.abc import Sequence

TimedWord = tuple[str, float, float]  # a word, and the seconds when it begins and ends


def align(words: Sequence[str], heard: Sequence[TimedWord], seconds: float) -> list[TimedWord]:
    """
    Each of *words* with its times, in a recording of *seconds* in which *heard* was.

    What was heard as it is written has the times it was heard at. Words between two such (numbers, signs, what was
    misheard) share the time between them by their letters.
    """
    ours, theirs = [plain(word) for word in words], [plain(word) for word, _, _ in heard]
    found: list[TimedWord] = []
    begin, waiting = 0.0, 0  # where the time is free from, and the first word without its own

    def fill(until: int, end: float) -> None:
        letters = sum(len(word) + 1 for word in words[waiting:until])
        at = begin
        for word in words[waiting:until]:
            then = at + max(end - begin, 0.0) * (len(word) + 1) / letters
            found.append((word, round(at, 3), round(then, 3)))
            at = then

    for block in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        for place in range(block.size):
            _, start, end = heard[block.b + place]
            fill(block.a + place, start)
            found.append((words[block.a + place], start, end))
            begin, waiting = end, block.a + place + 1
    fill(len(words), seconds)
    return found


def plain(word: str) -> str:
    """*word* as it is compared: its letters and digits, in lower case."""
    return "".join(filter(str.isalnum, word.lower()))
