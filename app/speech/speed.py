"""How fast this machine is: one window of a model, measured once and kept beside the models."""

import contextlib
import functools
import json
import logging
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from ..config import PROJECT
from ..engine.launch import WHISPER, processor
from ..files import atomic_write

log = logging.getLogger(__name__)

KEPT = "speed.json"
LIMIT_SECONDS = 120


class WindowTime(NamedTuple):
    """What half a minute of speech takes with a model, on some processors."""

    model: str
    processors: str
    encode_seconds: float
    generate_seconds: float


@functools.cache
def window_time(model: Path, threads: int) -> WindowTime | None:
    """What is kept beside the directory *model*, measured now where that was on other processors; None: it can't be."""
    processors = f"{threads} x {processor('model name') or platform.machine()}"
    path = model.parent / KEPT
    with contextlib.suppress(OSError, ValueError, TypeError):
        kept = WindowTime(**json.loads(path.read_bytes()))
        if (kept.model, kept.processors) == (model.name, processors):
            return kept
    command = [sys.executable, "-m", "app.engine_process.stt.speed", str(model.absolute()), str(threads)]
    environment = {**os.environ, **WHISPER}
    try:
        answer = subprocess.run(  # noqa: S603 (our own command)
            command, cwd=PROJECT, env=environment, timeout=LIMIT_SECONDS, check=True, capture_output=True
        )
        measured = WindowTime(model.name, processors, *json.loads(answer.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("the speed of this machine can't be measured: %s", error)
        return None
    # Where it can't be kept, it is measured at each start.
    with contextlib.suppress(OSError), atomic_write(path, mode=0o644) as file:
        file.write(json.dumps(measured._asdict()).encode())
    return measured
