"""
Text as people write it, made into text as one would read it aloud.

What the synthesizers read well themselves (numbers, dates, abbreviations) is left to them.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...engine import protocol
from .lines import unwrap

if TYPE_CHECKING:
    from markdown_it.token import Token

# Only text with one of these can hold Markdown or HTML; the parser costs 45 ms and 6 MB to import.
MARKUP = re.compile(r"[*_`#<\[|~\\&]|^\s{0,3}(?:[-+>=]|\d+[.)])", re.MULTILINE)
# What CommonMark takes for markup and people do not mean so: 3*4*5 is no emphasis, and "[Bob]: Hello" no link.
TIMES = re.compile(r"(?<!\*)(?<=[\w)\]])\*(?=[\w(\[])|(?<=\d)\*\*(?=\d)")
SPEAKER = re.compile(r"^( {0,3})\[(?=[^\]\n]+\]:\s*(?!<|\w+:/|mailto:|www\.|[/.#])\S)", re.MULTILINE)
TICK_BOX = re.compile(r"^(\s*[-*+] )\[[ xX]\] ", re.MULTILINE)

# The elements of HTML that begin a new line, those that do not, and those of SSML 1.1 that are no word of HTML.
# Other names between < and > are text: List<String>, <this cannot be happening>.
BLOCKS = frozenset(
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 head header hr html legend li main menu nav ol optgroup option p pre search section "
    "select speak summary table tbody td tfoot th thead title tr ul".split()
)
INLINE = frozenset(
    "a abbr acronym area b base bdi bdo big button canvas cite code col colgroup data datalist del dfn em embed font i "
    "iframe img input ins kbd label link map mark meta meter nobr noscript object output param picture progress q rp "
    "rt ruby s samp slot small source span strike strong sub sup svg template textarea time track tt u var video wbr "
    "audio break desc emphasis lang lexicon lookup metadata phoneme prosody say-as sentence token voice w".split()
)
# What is said of the ends of Markdown's elements: others leave nothing.
BREAKS = {"softbreak": "\n", "td_close": ", ", "th_close": ", "} | dict.fromkeys(
    ("hardbreak", "paragraph_close", "heading_close", "tr_close"), "\n\n"
)
ATTRIBUTE = r"\s+[\w:@.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'=<>`]+)|\s+(?:checked|controls|disabled|hidden|required)"
TAG = re.compile(rf"<(/?)([a-zA-Z][\w.-]*)((?:{ATTRIBUTE})*)\s*/?>")
# <mstts:style ...>, which CommonMark knows not.
NAMESPACED = re.compile(rf"</?\w+:[\w-]+(?:{ATTRIBUTE})*\s*/?>")
NOT_TEXT = re.compile(
    r"<!--(?:(?!<!--).)*?-->|<\?[^<>]*\?>|<!doctype[^>]*>|<!\[CDATA\[|\]\]>", re.DOTALL | re.IGNORECASE
)
PROGRAM = re.compile(r"<(script|style)\b(?:(?!<\1\b).)*?</\1\s*>", re.DOTALL | re.IGNORECASE)
POWER = re.compile(r"(?<=[\w)])<sup>(-?\d+)</sup>")
GENERIC = re.compile(r"(?<=\w\w)<([^\W\d][\w\s,.?\[\]]*)>")
BRACKETS = re.compile(r"<(?=[^\W\d_])([^<>]*)>")

URL = re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"“”]+", re.IGNORECASE)
BLANKS = re.compile(r"[^\S\n]+")
SOFT_END = re.compile(r"\xad[^\S\n]*\n[^\S\n]*")
# Letters drawn as symbols ("𝗛𝗲𝗹𝗹𝗼", "ＡＢＣ", "ﬁ", "㏑", "ｶﾞ"): compatibility forms, safe to fold.
# Superscripts are not here: "10²" must not become "102".
FANCY = re.compile(
    "[\U0001d400-\U0001d7ff\uff01-\uff5e\uff61-\uffdc\ufb00-\ufdff\ufe70-\ufefc\u2160-\u217f\u3200-\u33ffℂℍℕℙℚℝℤ]+"
)
FIRST_PICTOGRAM = 0x2190  # below it are the symbols that are read aloud: ° © № ™ ℃
JOINERS = "\u200c\u200d"  # part of the spelling in Persian and the scripts of India, and of emoji

SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？｡।])")
# A full stop after these, an initial or "e.g." ends no sentence.
SHORT_FORMS = "Dr|Mr|Mrs|Ms|Mx|St|Prof|Jr|Sr|Rev|Hon|Gen|Col|Capt|Lt|Sgt|No|Nos|vs|cf|Fig|Vol|approx"
ABBREVIATION = re.compile(rf"(?:^|[\s(\"“'])(?:{SHORT_FORMS}|\w|(?:\w\.)+\w)\.$")
CLAUSE_END = re.compile(r"(?<=[,;:—–])\s+|(?<=[，、；：])")


def clean(text: str) -> tuple[str, Counter[str]]:
    """
    *text* without what can't be spoken: one line per paragraph, heading or list item.

    Markdown leaves its words, a link its text, a bare URL its host; tags of HTML and SSML, emoji and control
    characters leave nothing. The second value counts letters and digits that are left out: of "code" in fences
    and scripts, and of what stands in an "address" after its host. Refused when no letter or digit remains.
    """
    skipped: Counter[str] = Counter()
    text = unicodedata.normalize("NFC", re.sub("\r\n?|[\u2028\u2029\v\f]", "\n", text))
    text = SOFT_END.sub("", FANCY.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text))
    if MARKUP.search(text):
        text = without_markup(text, skipped)
    for _ in range(3):  # Map<String, List<Set<Integer>>>
        text = GENERIC.sub(r" \1 ", text)
    text = URL.sub(lambda url: host(url[0], skipped), text)
    text = "".join(spoken_characters(text))
    # "[word](/sounds/)" would be taken for phonemes by the neural voice's reader.
    text = text.replace("](", "] (")
    text = "\n".join(unwrap(BLANKS.sub(" ", text)))
    if not letters(text):
        raise protocol.Refused("nothing_to_say", "the text has no word or number that can be spoken", "text")
    return text, +skipped


def letters(text: str) -> int:
    """How many letters and digits *text* has."""
    return sum(map(str.isalnum, text))


def without_markup(text: str, skipped: Counter[str]) -> str:
    """The words of a Markdown text, as CommonMark reads it; a blank line stands where a block ends."""
    from markdown_it import MarkdownIt

    text = NAMESPACED.sub(" ", POWER.sub(r"^\1", text))
    text = TICK_BOX.sub(r"\1", SPEAKER.sub(r"\1\\[", TIMES.sub(lambda found: "\\*" * len(found[0]), text)))
    # Indented lines are prose here, not code; "html" finds tags, so that they can be left out.
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).disable(["code"])
    return "".join(words(parser.parse(text), skipped))


def words(tokens: "list[Token]", skipped: Counter[str]) -> Iterator[str]:
    """The spoken parts of parsed Markdown, in order."""
    for token in tokens:
        if token.type == "inline" or token.type == "image":
            yield from words(token.children or [], skipped)
        elif token.type in ("text", "text_special"):
            yield token.content
        elif token.type == "code_inline":
            yield BRACKETS.sub(r" \1 ", token.content)
        elif token.type == "html_inline":
            yield without_tags(token.content)
        elif token.type == "html_block":
            yield without_html(token.content, skipped) + "\n\n"
        elif token.type == "fence":
            skipped["code"] += letters(token.content)
        elif token.type == "list_item_open" and token.info:
            yield f"{token.info}: "
        else:
            yield BREAKS.get(token.type, "")


def without_html(source: str, skipped: Counter[str]) -> str:
    """The words of a piece of HTML; its line breaks are spaces, and its blocks end with a blank line."""

    def program(found: re.Match[str]) -> str:
        skipped["code"] += letters(found[0])
        return ""

    source = NOT_TEXT.sub("", PROGRAM.sub(program, source))
    return html.unescape(without_tags(re.sub(r"\s+", " ", source)))


def without_tags(source: str) -> str:
    """*source* without the tags of HTML and SSML; what else stands between < and > keeps its words."""

    def replaced(tag: re.Match[str]) -> str:
        end, name = tag[1], tag[2].lower()
        if name in BLOCKS:
            return "\n\n"
        if name in INLINE:
            return " " if name in ("break", "img", "input") else ""
        return " " if end else f" {tag[2]} "

    return BRACKETS.sub(r" \1 ", NOT_TEXT.sub("", TAG.sub(replaced, source)))


def host(address: str, skipped: Counter[str]) -> str:
    """The part of a URL one would say: "example.com" of "https://www.example.com/a?b=c."."""
    trailing = address[len(address.rstrip(".,;:!?)]}'\"")) :]
    name = re.sub(r"^(?:\w+://)?(?:[^/@]*@)?(?:www\.)?", "", address, flags=re.IGNORECASE)
    said = re.split(r"[/?#:]", name, maxsplit=1)[0].rstrip(".,;!)]}'\"")
    skipped["address"] += letters(name) - letters(said)
    return said + trailing


def spoken_characters(text: str) -> Iterator[str]:
    """The characters of *text* a synthesizer may see; a dropped symbol leaves a space."""
    before = ""
    for character in text:
        if character.isdecimal() and not character.isascii():
            character = str(unicodedata.decimal(character))  # "٣" is 3 in every voice's language
        category = unicodedata.category(character)
        if character in JOINERS:
            # Between two emoji it joins what is dropped anyway.
            kept = character if before and unicodedata.category(before)[0] in "LM" else ""
        elif character == "\n" or category[0] in "LNP" or category in ("Mn", "Mc", "Sc"):
            kept = "" if "\ufe00" <= character <= "\ufe0f" else character
        elif category in ("Sm", "So", "Sk"):
            kept = character if ord(character) < FIRST_PICTOGRAM or character in "≈≠≤≥−×÷√∞" else " "
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
