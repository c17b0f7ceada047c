"""
Whisper's vocabulary: token numbers to text, to words, and (rarely) back.

Only encoding a prompt needs the library `tokenizers` (11 MB here); it is imported when one comes.
"""

import json
import string
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...engine import protocol

TIMESTAMP_SECONDS = 0.02
ENGLISH_SIZE = 51864
# They write without spaces, so a word is wherever the bytes make whole characters (OpenAI's whisper/tokenizer.py).
WITHOUT_SPACES = frozenset(("zh", "ja", "th", "lo", "my", "yue"))


class Vocabulary:
    """
    The tokens of one model; immutable, as long-lived as the model.

    It is kept as one block of bytes with an offset for each token: 0.6 MB instead of 4 as a list of strings.
    """

    def __init__(self, model_dir: Path) -> None:
        self.model_dir = model_dir
        self.block = vocabulary_text(model_dir)
        ends = np.flatnonzero(np.frombuffer(self.block, np.uint8) == ord("\n"))
        self.ends: npt.NDArray[np.uint32] = ends.astype(np.uint32)
        self.end_of_text = self.number_of("<|endoftext|>")
        self.start = self.number_of("<|startoftranscript|>")
        self.previous = self.number_of("<|startofprev|>")
        # The English vocabulary is the shorter one.
        self.multilingual = len(self.ends) > ENGLISH_SIZE
        self.timestamp_begin = self.number_of("<|notimestamps|>") + 1
        config = json.loads((model_dir / "config.json").read_bytes())
        self.suppressed: list[int] = config.get("suppress_ids") or []

    def number_of(self, token: str) -> int:
        """The number of a special token, KeyError where the model has none of that name."""
        at = self.block.find(f"\n{token}\n".encode())
        if at < 0:
            raise KeyError(token)
        return int(np.searchsorted(self.ends, at)) + 1

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages the model was trained on, which stand between start and the tasks."""
        first, last = self.start + 1, self.number_of("<|translate|>")
        return tuple(self.written(number).decode()[2:-2] for number in range(first, last))

    def written(self, number: int) -> bytes:
        """The token as the vocabulary file writes it."""
        begin = int(self.ends[number - 1]) + 1 if number else 0
        return self.block[begin : int(self.ends[number])]

    def decode(self, tokens: Sequence[int]) -> str:
        """Their text; special tokens and timestamps say nothing, broken characters become U+FFFD."""
        letters = b"".join(map(self.written, self.text_tokens(tokens))).decode()
        return bytes(BYTE_OF[letter] for letter in letters).decode(errors="replace")

    def text_tokens(self, tokens: Sequence[int]) -> list[int]:
        """Those of *tokens* that are text."""
        return [token for token in tokens if token < self.end_of_text]

    def encode(self, text: str) -> list[int]:
        """Token numbers of *text*."""
        try:
            import tokenizers  # here, because few sessions have a prompt
        except ImportError:
            raise protocol.Refused(
                "misconfigured", "a prompt needs the package tokenizers; install it"
            ) from None
        path = self.model_dir / "tokenizer.json"
        if not path.is_file():
            raise protocol.Refused("model_missing", f"a prompt needs {path}; fetch the model again")
        encoder = tokenizers.Tokenizer.from_file(str(path))
        numbers: list[int] = encoder.encode(text, add_special_tokens=False).ids
        return numbers

    def words(self, tokens: Sequence[int], language: str) -> list[tuple[str, list[int]]]:
        """*tokens* as words, each with its own tokens; punctuation and the end of the text are words too."""
        parts = self.characters(tokens)
        if language in WITHOUT_SPACES:
            return parts
        words: list[tuple[str, list[int]]] = []
        for text, numbers in parts:
            begins = numbers[0] >= self.end_of_text or text.startswith(" ")
            if begins or text.strip() in string.punctuation or not words:
                words.append((text, numbers))
            else:
                words[-1] = (words[-1][0] + text, words[-1][1] + numbers)
        return words

    def characters(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The shortest runs of *tokens* that are whole characters."""
        whole = self.decode(tokens)
        runs: list[tuple[str, list[int]]] = []
        pending: list[int] = []
        done = 0
        for token in tokens:
            pending.append(token)
            text = self.decode(pending)
            broken = text.find("\ufffd")
            # A U+FFFD that the whole text has at the same place was not made by cutting here.
            if broken < 0 or whole[done + broken : done + broken + 1] == "\ufffd":
                runs.append((text, pending))
                pending = []
                done += len(text)
        return runs


def vocabulary_text(model_dir: Path) -> bytes:
    """The tokens, one a line, whichever of CTranslate2's two forms the model has."""
    listed = model_dir / "vocabulary.txt"
    if listed.is_file():
        block = listed.read_bytes()
    else:
        block = "\n".join(json.loads((model_dir / "vocabulary.json").read_bytes())).encode()
    return block if block.endswith(b"\n") else block + b"\n"


def byte_alphabet() -> dict[str, int]:
    """
    The byte each letter of the vocabulary stands for.

    GPT-2's rule: printable bytes of Latin-1 are themselves, the others in order U+0100 and on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_OF = byte_alphabet()
