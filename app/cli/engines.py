"""The engines for one command: the service's own, in its memory budget, without the service."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from .. import memory
from ..config import Settings
from ..engine.budget import budget_mb
from ..speech.service import Speech


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is logged in the block: the command itself says what fails."""
    log = logging.getLogger("app")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def speech(settings: Settings) -> Iterator[Speech]:
    """Transcribes and speaks; its processes end with the block, at once if that is interrupted."""
    # One session at a time: the engine is bounded by what one costs.
    alone = replace(settings, engine_seats=1)
    service = Speech(alone, budget_mb(alone), lambda: memory.footprint().pss_mb)
    with quiet(), closing(service):
        yield service
