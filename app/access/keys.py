"""API keys: whom the service knows."""

from __future__ import annotations

import hashlib
import hmac
import string
from collections.abc import Iterable

from ..config import NOT_SENT, SENT, ConfigError

HASHED = "sha256:"
DIGEST_LETTERS = 64
ID_LETTERS = 12  # of the digest: 48 bits tell keys apart, and say nothing of a random key
SHORT = 16  # characters; `openssl rand -hex 32` makes 64


class Keys:
    """
    The keys that are let in, as digests: what was configured is not kept. Never changes; any thread.

    *configured* is the setting API_KEYS; a hash says `sha256:`. 64 hexadecimal digits alone may be either, a key
    as `openssl rand -hex 32` makes them or the hash of one, and both are let in.
    """

    def __init__(self, configured: str) -> None:
        entries = [entry.strip() for entry in configured.split(",")] if configured.strip() else []
        problems = [
            f"entry {number} {problem}"
            for number, entry in enumerate(entries, 1)
            if (problem := _problem(entry))
        ]
        if problems:
            raise ConfigError(f"API_KEYS: {'; '.join(problems)}")
        self._digests = tuple(digest for entry in entries for digest in _digests(entry))
        self.short = sum(len(entry) < SHORT for entry in entries)  # how many could be guessed

    def __len__(self) -> int:
        return len(self._digests)

    def find(self, presented: Iterable[str]) -> str:
        """
        The id of the key that was presented, empty when none of them is known.

        Digests are compared, each with every key and whole, so that the time tells nothing of a key.
        """
        found = ""
        for text in presented:
            digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
            for known in self._digests:
                if hmac.compare_digest(known, digest):
                    found = known.hex()[:ID_LETTERS]
        return found


def _problem(entry: str) -> str:
    """What is wrong with an entry, without the entry."""
    if not entry:
        return "is empty"
    if not SENT.issuperset(entry):
        return NOT_SENT
    if entry.lower().startswith(HASHED):
        digits = entry[len(HASHED) :]
        if len(digits) != DIGEST_LETTERS or not set(digits) <= set(string.hexdigits):
            return f"is no hash: {HASHED} is followed by {DIGEST_LETTERS} hexadecimal digits"
    return ""


def _digests(entry: str) -> tuple[bytes, ...]:
    if entry.lower().startswith(HASHED):
        return (bytes.fromhex(entry[len(HASHED) :]),)
    digest = hashlib.sha256(entry.encode()).digest()
    if len(entry) == DIGEST_LETTERS and set(entry) <= set(string.hexdigits):
        return digest, bytes.fromhex(entry)
    return (digest,)
