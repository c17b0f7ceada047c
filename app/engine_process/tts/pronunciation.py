"""
The neural voice's reader of English, with its tables packed: 25 MB in place of 98.

hibari 0.2.1 keeps 260,000 words and features as Python dictionaries. Here each table is one block of bytes,
sorted, searched by halves; what is read out is the same (a test compares the phonemes).
"""

import itertools
import json
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import lru_cache
from gzip import decompress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hibari.g2p import G2P

SEPARATOR = b"\x00"  # between a key and its value; in none of either
CHARACTERS = rb'[^"\\]*(?:\\.[^"\\]*)*'
STRING = rb'"' + CHARACTERS + rb'"'
PLAIN = rb"(?:" + STRING + rb"|null|-?[0-9.]+)"
# A key, a value that is plain or an object of plain ones, and what follows; 4 x as fast as parsing it
# and writing it again, and without a moment in which the whole table is unpacked.
ENTRY = re.compile(
    rb'"(' + CHARACTERS + rb')":(' + PLAIN + rb"|\{(?:" + STRING + rb":" + PLAIN + rb",?)*\})([,}])"
)
WORDS = re.compile(rb"\[(?:" + STRING + rb",?)*\]")


class Table(Mapping[str, Any]):
    """The object that begins at *start* in a compact JSON text, for a tenth of a dictionary's memory."""

    def __init__(self, text: bytes, start: int = 0) -> None:
        lines = sorted(key + SEPARATOR + value for key, value in entries(text, start))
        self._starts = array("I", itertools.accumulate(map(len, lines), initial=0))
        self._block = b"".join(lines)
        self._find = lru_cache(maxsize=2048)(self._search)  # speech repeats its words

    def __getitem__(self, key: str) -> Any:
        found = self._find(key)
        if found is None:
            raise KeyError(key)
        return found

    def get(self, key: str, default: Any = None) -> Any:
        """The value of *key*; the reader asks for many words that are not there."""
        found = self._find(key)
        return default if found is None else found

    def __iter__(self) -> Iterator[str]:
        for index in range(len(self)):
            yield self._line(index).partition(SEPARATOR)[0].decode()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def _line(self, index: int) -> bytes:
        return self._block[self._starts[index] : self._starts[index + 1]]

    def _search(self, key: str) -> Any:
        wanted = key.encode() + SEPARATOR
        index = bisect_left(range(len(self)), wanted, key=self._line)
        if index == len(self):
            return None
        line = self._line(index)
        return json.loads(line[len(wanted) :]) if line.startswith(wanted) else None


def entries(text: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    """Each key, as UTF-8, and the JSON text of its value."""
    position = start + 1
    for entry in ENTRY.finditer(text, position):
        key, value, follows = entry.groups()
        if entry.start() != position:
            break
        yield key if b"\\" not in key else json.loads(b'"' + key + b'"').encode(), value
        if follows == b"}":
            return
        position = entry.end()
    raise ValueError(f"what begins at {position} is not an entry of a table")


def build_g2p(assets: Path, *, british: bool) -> "G2P":
    """What `hibari.g2p.G2P(british=...)` is, made without unpacking its tables."""
    from hibari.g2p import G2P
    from hibari.g2p.lexicon import Lexicon
    from hibari.g2p.tagger import Tagger
    from hibari.g2p.tokenize import Tokenizer

    accent = "gb" if british else "us"
    gold = Table(decompress((assets / f"lexicon_{accent}_gold.json.gz").read_bytes()))
    silver = Table(decompress((assets / f"lexicon_{accent}_silver.json.gz").read_bytes()))
    tagger = decompress((assets / "tagger.json.gz").read_bytes())
    made = G2P.__new__(G2P)  # its own __init__ unpacks everything
    made.lexicon = Lexicon(gold, silver, british)
    made.tokenizer = Tokenizer(json.loads((assets / "tokenizer_exceptions.json").read_text()))
    lists = {name: member(tagger, name) for name in ("tags", "vocab")}
    tables = {name: Table(tagger, beginning(tagger, name)) for name in ("tagdict", "weights")}
    made.tagger = Tagger({**lists, **tables})
    made._oov, made.unk, made.british = None, "", british
    return made


def beginning(text: bytes, name: str) -> int:
    """Where the value of the outermost member *name* begins in a compact JSON object."""
    return text.index(f'"{name}":'.encode()) + len(name) + 3


def member(text: bytes, name: str) -> list[str]:
    """The value of the outermost member *name*, a list of words."""
    found = WORDS.match(text, beginning(text, name))
    words: list[str] = json.loads(found[0]) if found else []
    return words
