"""A model fetched while the service runs: in a process of its own, whose numpy the web worker does without."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

from ..config import PROJECT, Settings, without_secrets
from ..errors import ClientGone, Conflict, InsufficientStorage, UpstreamFailed
from ..files import free_bytes
from .models import Model

LOOK_SECONDS = 0.5  # from one look at how far it is to the next
LEAVING_SECONDS = 10.0  # until a process that was told to stop is killed


def check_room(model: Model, model_dir: Path) -> None:
    """InsufficientStorage: the disk has not what fetching takes. Conflict: another model is being fetched."""
    # Here, because a worker that is never asked does without its libraries.
    from .fetch import disk_mb, one_at_a_time

    model_dir.mkdir(parents=True, exist_ok=True)
    free_mb, needed_mb = free_bytes(model_dir) >> 20, disk_mb(model)
    if free_mb < needed_mb:
        raise InsufficientStorage(
            f"to fetch the model {model.name} takes {needed_mb} MB of disk, and {free_mb} MB are free in MODEL_DIR"
        )
    try:
        with one_at_a_time(model_dir, wait=False):
            pass
    except BlockingIOError:
        raise Conflict(
            "another model is being fetched; one is fetched at a time, try again when it is here"
        ) from None


def fetch_aside(model: Model, settings: Settings, wanted: Callable[[], bool]) -> Generator[int]:
    """
    Fetch *model*; how many bytes there are meanwhile. Closed early, it stops and leaves nothing on the disk.

    UpstreamFailed has the reason of each source. ClientGone: *wanted* became false.
    """
    model_dir = Path(settings.model_dir).absolute()
    environment = {**without_secrets(os.environ), "MODEL_DIR": str(model_dir), "PYTHONOPTIMIZE": ""}
    command = [sys.executable, "-m", "app", "models", "fetch", model.name]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(  # noqa: S603 (our own command)
            command,
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                if not wanted():
                    raise ClientGone
                yield _size_bytes(model.name, model_dir)
                try:
                    process.wait(LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                _stop(process, model.name, model_dir)
        if process.returncode:
            said.seek(0)
            reason = (said.read().strip().splitlines() or [f"status {process.returncode}"])[-1]
            raise UpstreamFailed(reason)


def _size_bytes(name: str, model_dir: Path) -> int:
    """What a fetch of *name* that goes on has on the disk; files come and go meanwhile."""
    total = 0
    for path in model_dir.glob(f".{name}.*/**/*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _stop(process: subprocess.Popen[bytes], name: str, model_dir: Path) -> None:
    os.killpg(process.pid, signal.SIGINT)  # pip, too, if that is what fetches
    try:
        process.wait(LEAVING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for left in model_dir.glob(f".{name}.*"):
        shutil.rmtree(left, ignore_errors=True)
