"""
Text as people write it, made into text as one would read it aloud.

What the synthesizers read well themselves (numbers, dates, abbreviations) is left to them.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...engine import protocol

if TYPE_CHECKING:
    from markdown_it.token import Token

# Only text with one of these can hold Markdown or HTML; the parser costs 45 ms and 6 MB to import.
MARKUP = re.compile(r"[*_`#<\[|~\\&]|^\s{0,3}(?:[-+>=]|\d+[.)])", re.MULTILINE)
TAG = re.compile(r"<[/!?a-zA-Z][^<>]*>")
URL = re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"“”]+", re.IGNORECASE)
BLANKS = re.compile(r"[^\S\n]+")
LINES = re.compile(r" ?\n[ \n]*")
# Letters drawn as symbols ("𝗛𝗲𝗹𝗹𝗼", "ＡＢＣ", "ﬁ", "㏑"): compatibility forms, safe to fold one by one.
# Superscripts are not here: "10²" must not become "102".
FANCY = re.compile("[\U0001d400-\U0001d7ff\uff01-\uff5e\ufb00-\ufb06\u3200-\u33ff]")
FIRST_PICTOGRAM = 0x2190  # below it are the symbols that are read aloud: ° © № ™ ℃
JOINERS = "\u200c\u200d"  # part of the spelling in Persian and the scripts of India, and of emoji

SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？｡।])")
# A full stop after these, an initial or "e.g." ends no sentence.
SHORT_FORMS = "Dr|Mr|Mrs|Ms|Mx|St|Prof|Jr|Sr|Rev|Hon|Gen|Col|Capt|Lt|Sgt|No|Nos|vs|cf|Fig|Vol|approx"
ABBREVIATION = re.compile(rf"(?:^|[\s(\"“'])(?:{SHORT_FORMS}|\w|(?:\w\.)+\w)\.$")
CLAUSE_END = re.compile(r"(?<=[,;:—–])\s+|(?<=[，、；：])")


def clean(text: str) -> str:
    """
    *text* without what can't be spoken: one line per paragraph, heading or list item.

    Markdown leaves its words, a link its text, a bare URL its host; fenced code, tags (SSML as well),
    emoji and control characters leave nothing. Refused when no letter or digit is left.
    """
    text = unicodedata.normalize("NFC", re.sub("\r\n?|[\u2028\u2029]", "\n", text))
    text = FANCY.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    if MARKUP.search(text):
        text = without_markup(text)
    text = URL.sub(host, text)
    text = "".join(spoken_characters(text))
    # "[word](/sounds/)" would be taken for phonemes by the neural voice's reader.
    text = text.replace("](", "] (")
    text = LINES.sub("\n", BLANKS.sub(" ", text)).strip()
    if not any(character.isalnum() for character in text):
        raise protocol.Refused("nothing_to_say", "the text has no word or number that can be spoken", "text")
    return text


def without_markup(text: str) -> str:
    """The words of a Markdown text, as CommonMark reads it; plain text comes out as it went in."""
    from markdown_it import MarkdownIt

    # Indented lines are prose here, not code; "html" finds tags, so that they can be left out.
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).disable(["code"])
    return "".join(words(parser.parse(text)))


def words(tokens: "list[Token]") -> Iterator[str]:
    """The spoken parts of parsed Markdown, in order, with line breaks where a block ends."""
    for token in tokens:
        if token.type == "inline":
            yield from words(token.children or [])
        elif token.type in ("text", "code_inline", "text_special"):
            yield token.content
        elif token.type == "image":
            yield from words(token.children or [])
        elif token.type == "softbreak":
            yield " "
        elif token.type == "html_block":
            yield TAG.sub(" ", token.content)
        elif token.type == "list_item_open" and token.info:
            yield f"{token.info}: "
        elif token.type == "td_close" or token.type == "th_close":
            yield ", "
        elif token.type in ("hardbreak", "paragraph_close", "heading_close", "tr_close"):
            yield "\n"


def host(url: re.Match[str]) -> str:
    """The part of a URL one would say: "example.com" of "https://www.example.com/a?b=c."."""
    address = url[0]
    trailing = address[len(address.rstrip(".,;:!?)]}'\"")) :]
    name = re.sub(r"^(?:\w+://)?(?:[^/@]*@)?(?:www\.)?", "", address, flags=re.IGNORECASE)
    return re.split(r"[/?#:]", name, maxsplit=1)[0].rstrip(".,;!)]}'\"") + trailing


def spoken_characters(text: str) -> Iterator[str]:
    """The characters of *text* a synthesizer may see; a dropped symbol leaves a space."""
    before = ""
    for character in text:
        category = unicodedata.category(character)
        if character in JOINERS:
            # Between two emoji it joins what is dropped anyway.
            kept = character if before and unicodedata.category(before)[0] in "LM" else ""
        elif character == "\n" or category[0] in "LNP" or category in ("Mn", "Mc", "Sc"):
            kept = "" if "\ufe00" <= character <= "\ufe0f" else character
        elif category in ("Sm", "So", "Sk"):
            kept = character if ord(character) < FIRST_PICTOGRAM or character in "≈≠≤≥−×÷" else " "
        elif category[0] == "Z" or category == "Cc":
            kept = " "
        else:  # format, private and unassigned characters: marks of direction, soft hyphens, tags
            kept = ""
        before = character
        yield kept


def sentences(text: str, limit: int) -> Iterator[str]:
    """
    *text* cut into sentences of at most *limit* characters.

    A longer one is cut after a clause, else between two words, else anywhere: how much is synthesized
    at once bounds the memory it takes.
    """
    for line in text.split("\n"):
        begin = 0
        for end in SENTENCE_END.finditer(line):
            if ABBREVIATION.search(line[begin : end.start()]) or line[end.end() : end.end() + 1].islower():
                continue
            yield from shortened(line[begin : end.end()].strip(), limit)
            begin = end.end()
        yield from shortened(line[begin:].strip(), limit)


def shortened(sentence: str, limit: int) -> Iterator[str]:
    """*sentence* in parts of at most *limit* characters, cut at the last good place before it."""
    while len(sentence) > limit:
        head = sentence[: limit + 1]
        clauses = [cut.end() for cut in CLAUSE_END.finditer(head) if limit // 4 < cut.end() <= limit]
        cut = clauses[-1] if clauses else head.rfind(" ")
        if cut <= 0:
            cut = limit
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
