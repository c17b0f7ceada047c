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
def speech(settings: Settings) -> Iterator[Speech]:
    """Transcribes and speaks; its processes end with the block, at once if that is interrupted."""
    log = logging.getLogger("app")
    level = log.level
    log.setLevel(logging.ERROR)  # the command itself says what fails
    # One session at a time: the engine is bounded by what one costs.
    alone = replace(settings, engine_seats=1)
    try:
        with closing(Speech.build(alone, budget_mb(alone), lambda: memory.footprint().pss_mb)) as service:
            yield service
    finally:
        log.setLevel(level)


def should_continue() -> bool:
    """True: whoever gave the command waits for its result, or presses Ctrl-C."""
    return True
