"""Whether a transcript says what was said."""

import difflib
import re


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def likeness(heard: str, said: str) -> float:
    """1.0 for the same words in the same order, 0.0 for none of them."""
    return difflib.SequenceMatcher(None, words(heard), words(said), autojunk=False).ratio()
