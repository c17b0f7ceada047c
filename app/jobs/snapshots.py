"""A copy of every job beside its files, which brings the jobs back when the database breaks."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from .files import private
from .job import QUEUED, RUNNING, Job

log = logging.getLogger(__name__)

NAME, PART = "job.json", ".part"


class Snapshots:
    """The jobs of *directory*, each as it was made, requeued or ended. Threads and processes may share it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, job: Job) -> None:
        """Keep *job* as it is now; OSError when the disk is full."""
        path = self._directory / job.id / NAME
        path.parent.mkdir(exist_ok=True, mode=0o700)
        part = path.with_name(NAME + PART)
        try:
            with open(part, "w", opener=private) as file:
                json.dump(asdict(job), file)
            part.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise

    def read_all(self) -> Iterator[Job]:
        """Every job, oldest first; what can't be read is left out."""
        found: list[tuple[float, Job]] = []
        for path in self._directory.glob(f"*/{NAME}"):
            try:
                job = Job(**json.loads(path.read_bytes()))
                found.append((job.created_at, job))
            except (OSError, ValueError, TypeError) as error:
                log.warning("jobs: %s can't be read: %s", path.parent.name, error)
        for _, job in sorted(found, key=lambda one: one[0]):
            if job.state == RUNNING:
                job.state = QUEUED
            yield job

    def remove(self, id: str) -> None:
        """Forget it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._directory / id / NAME)
