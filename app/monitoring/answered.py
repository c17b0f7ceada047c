"""A request that was answered, as monitoring and the log are told of it."""

from __future__ import annotations

from dataclasses import dataclass

UNMATCHED = "unmatched"  # the route of every path nobody serves


@dataclass(slots=True)
class Answered:
    """A request and how it was answered. *code* is the error's, empty where there is none."""

    method: str
    route: str
    status: int
    request_id: str
    seconds: float = 0.0
    received_bytes: int = 0
    sent_bytes: int = 0
    code: str = ""
    path: str = ""
    peer: str | None = None
