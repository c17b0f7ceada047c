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
    """What transcribes and speaks; its processes end with the block, at once when that is interrupted."""
    log = logging.getLogger("app")
    level = log.level
    log.setLevel(logging.ERROR)  # what fails is said by the command
    # One session at a time: the engine is bounded by what one costs.
    alone = replace(settings, engine_seats=1)
    try:
        with closing(Speech.build(alone, budget_mb(alone), lambda: memory.footprint().pss_mb)) as here:
            yield here
    finally:
        log.setLevel(level)


def wanted() -> bool:
    """Whoever gave the command waits for the answer; who does not presses Ctrl-C."""
    return True
