"""Hostile requests, made from the clips in `tests/data`; the same ones each time."""

from collections.abc import Iterator

from . import recordings, requests
from .request import Attack


def corpus() -> Iterator[Attack]:
    """All of them."""
    yield from recordings.attacks()
    yield from requests.attacks()
