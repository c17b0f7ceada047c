"""Lines that were broken to fit a page, put together again: a synthesizer pauses where a line ends."""

import re
import unicodedata
from collections.abc import Iterator

BLANK_LINE = re.compile(r"\n\s*\n")
CLOSERS, OPENERS = "\"'”’)]»", "\"'“‘([«¿¡"
ENDS = ".!?…:;。！？：；।"
ITEM = re.compile(r"(?:[-*+•◦▪‣·–—]|\(?(?:\d{1,3}[.)]|[a-zA-Z]\)))\s")
WIDEST_VERSE = 50
NARROWEST = 30  # characters; the lines of addresses and lists are shorter, those of wrapped prose are not
# No sentence, heading, verse or line of an address ends with one of these.
LEADING = frozenset(
    "a an and as at but for from his in into its my nor of or our than the their to with your".split()
)
TITLES = frozenset("capt col dr gen lt mr mrs ms prof rev sgt st".split())
# Words that have a hyphen of their own before the next: "twenty-one", "well-known".
HYPHENATED = frozenset(
    "all anti brother co cross daughter double early eight eighty ever ex far father fifty first five forty four free "
    "full good half hard high hundred ill kind large last late left long low man mid mother much multi new nine ninety "
    "non north old one open part post pre quasi re real right second self semi seven seventy short single sister six "
    "sixty small so soft son south state ten third thirty three twenty two up user well west east".split()
)
SHORT_FORMS = frozenset("approx ca cf co corp dept etc fig figs inc jr ltd no nos p pp sr vol vs".split())
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "FULLWIDTH", "THAI", "LAO", "KHMER", "MYANMAR")


def unwrap(text: str) -> Iterator[str]:
    """The lines of *text* as they are spoken, those of one sentence as one; blank lines end a paragraph."""
    for block in BLANK_LINE.split(text):
        paragraph = Paragraph([line.strip() for line in block.split("\n") if line.strip()])
        spoken = ""
        for number, line in enumerate(paragraph.lines):
            if number and paragraph.continues(number):
                spoken = joined(spoken, line)
            else:
                yield from [spoken] if spoken else []
                spoken = line
        yield from [spoken] if spoken else []


class Paragraph:
    """Lines without a blank one between them, none of them empty."""

    def __init__(self, lines: list[str]) -> None:
        self.lines, self.width = lines, max(map(len, lines), default=0)
        # "milk / eggs / bread" are three things; a sentence has a line with more than three words.
        is_list = len(lines) > 2 and self.width < NARROWEST and all(one.count(" ") < 3 for one in lines)
        self.has_sentences = not is_list
        # Verses and addresses begin with capitals, too, but their lines are shorter, or not all as long as can be.
        self.is_prose = any(one[0].islower() for one in lines) or (
            (len(lines) > 3 or (len(lines) > 2 and self.width >= WIDEST_VERSE))
            and all(self.is_full(index) for index in range(len(lines) - 1))
        )

    def continues(self, number: int) -> bool:
        """Whether the line *number* continues the sentence of the line before."""
        line, bare = self.lines[number], self.lines[number - 1].rstrip(CLOSERS)
        last = re.split(r"[\s(]", bare)[-1].rstrip(".").lower()
        first = line.lstrip(OPENERS)[:1]
        if not bare or ITEM.match(line):
            return False
        if bare[-1] in ENDS:
            short_form = last in TITLES or (first.islower() and (last in SHORT_FORMS or "." in last))
            return bare[-1] == "." and short_form
        if bare[-1] in ",-‐" or last in LEADING:
            return True
        if first.islower():
            return self.has_sentences
        return self.is_full(number - 1) and (self.is_prose or not (first.isupper() or first.isdigit()))

    def is_full(self, index: int) -> bool:
        """Whether the line at *index* had no room left for the first word of the next."""
        line, following = self.lines[index], self.lines[index + 1]
        if is_unspaced(following[0]):
            return self.width >= NARROWEST // 2 and len(line) >= self.width - 2
        return self.width >= NARROWEST and len(line) + 1 + len(following.split(" ", 1)[0]) > self.width


def joined(before: str, line: str) -> str:
    """Two lines of one sentence as one line."""
    if before[-1] in "-‐" and before[-2:-1].isalnum() and line[0].isalnum():
        part = re.split(r"[\s-]", before[:-1])[-1]
        kept = part.lower() in HYPHENATED or not (part.isalpha() and line[0].islower())
        return before[: None if kept else -1] + line
    return before + ("" if is_unspaced(before[-1]) and is_unspaced(line[0]) else " ") + line


def is_unspaced(character: str) -> bool:
    """Whether *character* belongs to a script that puts no space between words."""
    return unicodedata.name(character, "").startswith(UNSPACED)
