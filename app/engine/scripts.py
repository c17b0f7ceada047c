"""Scripts: which one each letter of a text is in. The web worker chooses voices by them, the engine changes voices."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

BEYOND_LATIN = re.compile(r"[^\x00-\u024f]")
# Unicode's name of a character begins with its script ("CYRILLIC SMALL LETTER A"), with these exceptions.
SCRIPTS = {
    "CJK": "han", "IDEOGRAPHIC": "han", "HIRAGANA": "kana", "KATAKANA": "kana", "KATAKANA-HIRAGANA": "kana",
    "VERTICAL": "kana", "INFORMATION": "", "MODIFIER": "", "COMBINING": "", "SUPERSCRIPT": "", "SUBSCRIPT": "",
    "MICRO": "", "SCRIPT": "", "DOUBLE-STRUCK": "", "BLACK-LETTER": "", "TURNED": "", "ALEF": "", "BET": "",
}  # fmt: skip


def runs(text: str) -> Iterator[tuple[str, str]]:
    """
    *text* in pieces of one script each, with its name: "latin", "han", "kana", "cyrillic" ...

    The name is empty for what all scripts share, digits, spaces and signs. So it is for a Greek letter that stands
    alone, which is a symbol: every voice knows alpha and pi.
    """
    if not BEYOND_LATIN.search(text):
        yield "latin", text
        return
    begin, current = 0, script(text[0])
    for index, character in enumerate(text):
        found = script(character)
        if found != current and not unicodedata.combining(character):
            yield named(current, text[begin:index])
            begin, current = index, found
    yield named(current, text[begin:])


def named(script: str, run: str) -> tuple[str, str]:
    """A run with its script; one Greek letter has none."""
    return ("" if script == "greek" and len(run) == 1 else script), run


def script(character: str) -> str:
    """The script of a letter; empty for all that is none."""
    if character < "\u0250":
        return "latin" if character.isalpha() else ""
    if unicodedata.category(character)[0] not in "LM":
        return ""
    first = unicodedata.name(character, "").split(" ", 1)[0]
    return SCRIPTS.get(first, first.lower())


def count(text: str) -> Counter[str]:
    """How many letters of each script *text* has."""
    letters: Counter[str] = Counter()
    for script, run in runs(text):
        if script:
            letters[script] += sum(map(str.isalpha, run))
    return +letters
