"""
Whom the service knows: API keys, and tickets, keys that last for minutes, for browsers.

A ticket is signed with a secret, and good for as much as the key that made it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

from ..config import NOT_SENT, SENT, ConfigError

HASHED = "sha256:"
DIGEST_LETTERS = 64
ID_LETTERS = 12  # of the digest: 48 bits tell keys apart, and say nothing of a random key
SHORT = 16  # characters; `openssl rand -hex 32` makes 64
BEGINNING = "ek_"  # as OpenAI's do
# Without API_KEYS. gunicorn's master imports this before it forks, so that all workers have the same.
RANDOM = secrets.token_bytes(32)
ROUNDS = 200_000  # 0.1 s: who has a ticket must not try millions of words to find an API key


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


class Ticket(NamedTuple):
    """Whose key it stands for, empty where there are none, until when (Unix time), and for which session."""

    key_id: str
    expires_at: int
    session: dict[str, Any]  # as the API has it


class Tickets:
    """Makes and reads them; any thread. Machines with the same API_KEYS take each other's."""

    def __init__(self, api_keys: str, clock: Callable[[], float] = time.time) -> None:
        entries = (entry.strip() for entry in api_keys.split(","))
        # A hash may be known to more people than its key.
        self._known = sorted(entry for entry in entries if entry and not entry.lower().startswith(HASHED))
        self._clock = clock

    @cached_property
    def _serializer(self) -> Any:  # itsdangerous's, which Flask has loaded
        from itsdangerous import URLSafeSerializer

        words = ",".join(self._known).encode()
        secret = hashlib.pbkdf2_hmac("sha256", words, b"pam-voice", ROUNDS) if self._known else RANDOM
        return URLSafeSerializer(secret, salt="realtime", signer_kwargs={"digest_method": hashlib.sha256})

    def make(self, key_id: str, seconds: int, session: dict[str, Any]) -> tuple[str, Ticket]:
        """One that is good for *seconds*, as it is sent, and what it says."""
        ticket = Ticket(key_id, int(self._clock()) + seconds, session)
        return BEGINNING + str(self._serializer.dumps(ticket)), ticket

    def find(self, presented: Iterable[str]) -> Ticket | None:
        """What the first of the keys that were *presented* says which is one of ours, and still good."""
        for text in presented:
            if text.startswith(BEGINNING):
                good, said = self._serializer.loads_unsafe(text.removeprefix(BEGINNING))
                if good and said[1] > self._clock():
                    return Ticket(*said)
        return None
