"""What a fleet is made of, on the loopback interface: a real Redis, real workers, and jobs without a web server."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import redis

from app.config import PROJECT, Settings
from app.jobs.fleet.transactions import connect
from app.jobs.job import FINISHED, SUCCEEDED, TRANSCRIBE, Job
from app.jobs.service import Jobs, build_fleet
from tests.likeness import understood
from tests.processes import children, descendants, free_port, until, written
from tests.recordings import AUSTEN_SHORT, CLIPS, wav
from tests.server import secrets_in

END_SECONDS = 60
NO_REDIS = "redis-server is not installed; `make test` as root installs it"
CELERY = (sys.executable, "-m", "celery", "-A", "app.jobs.fleet.worker")


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """What is connected meanwhile gives Redis a minute to answer, for a busy machine; the service gives it 1.5 s."""
    from app.jobs.fleet import queue, transactions

    with pytest.MonkeyPatch.context() as patch:
        for module in (queue, transactions):
            for limit in ("ANSWER_SECONDS", "CONNECT_SECONDS"):
                patch.setattr(module, limit, 60.0)
        yield


class Redis:
    """
    A redis-server with its append-only file, written before it answers; `kill` and `start` it again.

    Written, not synced: what the system has outlives the process, and a disk that takes seconds to sync would be a
    Redis that does not answer.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip(NO_REDIS)
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder),
             "--save", "", "--appendonly", "yes", "--appendfsync", "no"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        until(self._answers, "Redis answers")

    def _answers(self) -> bool:
        # It may refuse, or take too long.
        with contextlib.suppress(redis.RedisError), connect(self.url) as client:
            return client.ping()
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Worker:
    """Celery with its Procfile's command, from `start` to `stop` or `kill`; `log` is all it wrote."""

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        self._environment = {**os.environ, **environment}
        self._options = options
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with it)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*CELERY, "worker", *self._options],
            cwd=PROJECT,
            env=self._environment,
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
        )

    @property
    def children(self) -> list[int]:
        return children(self.process.pid)

    def stop(self) -> int:
        """End it as a host does: SIGTERM to every process of it."""
        for pid in (*self.children, self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return self.process.wait(END_SECONDS)

    def kill(self) -> None:
        """As a machine ends that loses its power."""
        pids = descendants(self.process.pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return written(self.output)


class Fleet:
    """Redis, a directory for files, and any number of workers; jobs go through Redis, or the broker at *broker_url*."""

    def __init__(self, folder: Path, broker_url: str = "", **environment: str) -> None:
        (folder / "redis").mkdir(parents=True)
        self.redis = Redis(folder / "redis")
        self.environment = {
            "CELERY_BROKER_URL": broker_url or self.redis.url,
            **({"REDIS_URL": self.redis.url} if broker_url else {}),
            "DATA_DIR": str(folder / "data"),
            "STT_THREADS": "1",
            "ENGINE_IDLE_SECONDS": "20",
            **environment,
        }
        self.workers: list[Worker] = []
        self.settings = Settings.from_env(self.environment)
        with patient():
            self.store, self.files, self.queue = build_fleet(self.settings)
        self.jobs = Jobs(self.store, self.files, self.queue, 1 << 40, threading.Semaphore())

    def worker(self, *options: str) -> Worker:
        self.workers.append(Worker(self.environment, "--hostname", f"w{len(self.workers)}@here", *options))
        return self.workers[-1]

    def submit(self, id: str, recording: Path = AUSTEN_SHORT.path, **params: Any) -> Job:
        """A job as the web makes one."""
        with recording.open("rb") as file:
            self.files.keep_recording(id, file)
        job = self.add(id, size_bytes=recording.stat().st_size, params=params)
        self.queue.changed(job)
        return job

    def add(self, id: str, **fields: Any) -> Job:
        """A job nobody was told of."""
        params = fields.pop("params", {})
        return self.store.add(
            Job(id, TRANSCRIBE, params, created_at=time.time(), extra={"caller": "test"}, **fields), 1 << 40
        )

    def ended(self, id: str, seconds: float = 300) -> Job:
        """The job, once it has ended."""

        def over() -> Job | None:
            job = self.store.get(id)
            return job if job is not None and job.state in FINISHED else None

        return until(over, f"job {id} ends", seconds, said=self.said)

    def has_parts_done_by_another(self, worker: Worker, minute: Path) -> None:
        """A recording of a *minute* is done in two parts, and *worker* is lost with one of them."""
        self.submit("parts", minute)
        until(lambda: self.store.get("parts").extra.get("parts"), "it is divided", said=self.said)
        until(lambda: self.store.get("parts").seconds_done > 0, "a part is begun", said=self.said)
        worker.kill()
        self.worker()
        job = self.ended("parts")
        assert (job.state, job.extra["parts"]) == (SUCCEEDED, 2)
        assert understood(job.text, read_aloud_text(3))

    def said(self) -> str:
        """All that its workers wrote."""
        return "\n".join(worker.log for worker in self.workers)

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
            said = worker.log
            worker.output.close()
            if any(secret in said for secret in secrets_in(self.environment)):
                raise AssertionError("a secret is in a worker's log")
        self.queue.close()
        self.store.close()
        self.redis.kill()


@contextlib.contextmanager
def started(folder: Path, broker_url: str = "", **environment: str) -> Iterator[Fleet]:
    fleet = Fleet(folder, broker_url, **environment)
    try:
        yield fleet
    finally:
        fleet.close()


def read_aloud(folder: Path, times: int) -> Path:
    """Every clip, half a second of silence after each, so many times: 24.5 s for each time."""
    sound = []
    for clip in CLIPS:
        with av.open(clip.path) as source:
            resampler = av.AudioResampler("s16", "mono", 16_000)
            frames = [part for frame in [*source.decode(audio=0), None] for part in resampler.resample(frame)]
            sound += [frame.to_ndarray().reshape(-1) for frame in frames]
        sound.append(np.zeros(8_000, np.int16))
    path = folder / f"{times}.wav"
    path.write_bytes(wav(np.concatenate(sound * times)))
    return path


def read_aloud_text(times: int) -> str:
    """What is said in it."""
    return " ".join([clip.text for clip in CLIPS] * times)
