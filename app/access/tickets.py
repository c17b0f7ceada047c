"""Keys that last for minutes, for browsers: signed with a secret, and good for as much as the key that made them."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

from .keys import HASHED

BEGINNING = "ek_"  # as OpenAI's do
# Without API_KEYS. gunicorn's master imports this before it forks, so that all workers have the same.
RANDOM = secrets.token_bytes(32)
ROUNDS = 200_000  # 0.1 s: who has a ticket must not try millions of words to find an API key


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
