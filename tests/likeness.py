"""Whether a transcript says what was said."""

import re

import jiwer


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def wrong_words(heard: str, said: str) -> int:
    """How many words are another, missing, or too many: the least number of edits (Levenshtein)."""
    if not words(heard):
        return len(words(said))
    found = jiwer.process_words(" ".join(words(said)), " ".join(words(heard)))
    return found.substitutions + found.deletions + found.insertions


def understood(heard: str, said: str) -> bool:
    """
    Whether at most a fifth of the words are wrong, and of a short text at most two.

    Never to the letter: int8 arithmetic differs between processors, and with it a word here and there.
    """
    return wrong_words(heard, said) <= max(2, len(words(said)) // 5)
