"""The real server, started for a benchmark on the loopback interface, and a client for it."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from app import cgroup
from app.config import Settings
from tests.server import form

from .recordings import KEPT, ROOT
from .weighing import Weight, weigh

START_LIMIT_SECONDS = 60
LOG = KEPT / "server.log"
ENGINE_IDLE_SECONDS = 3  # short, for benchmarks that wait for the engine to go
TRANSCRIBE = "/api/v1/pam/voice/transcribe"
SPEAK = "/api/v1/pam/voice/speak"


@dataclass(frozen=True)
class Answer:
    """What came back, when its first byte did, and when its last."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_byte_seconds: float
    seconds: float

    @property
    def json(self) -> Any:  # whatever the server says
        """The body."""
        return json.loads(self.body)


class Service:
    """
    A gunicorn with its own port, from `__enter__` to `__exit__`; threads may share it.

    *environment* goes over this process's own. *command_prefix* comes before the command, to start it in
    a control group. *application* and *folder* name another app than ours.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        application: str = "wsgi:app",
        folder: Path = ROOT,
        options: tuple[str, ...] = (),
        command_prefix: tuple[str, ...] = (),
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._environment = {
            **os.environ,
            "ENGINE_IDLE_SECONDS": str(ENGINE_IDLE_SECONDS),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **(environment or {}),
        }
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each start would compile everything
        bind = f"--bind=127.0.0.1:{self.port}"
        self._command = [*command_prefix, sys.executable, "-m", "gunicorn", bind, *options, application]
        self._folder = folder
        KEPT.mkdir(exist_ok=True)
        self._log = LOG.open("a")
        self.start_seconds = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Service":
        began = time.perf_counter()
        self.process = subprocess.Popen(
            self._command, cwd=self._folder, env=self._environment, stdout=self._log, stderr=self._log
        )
        while True:
            if self.process.poll() is not None:
                raise ServiceStopped(self.process.returncode, LOG.read_text().splitlines()[-12:])
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/health/live").status == 200:
                    break
            if time.perf_counter() > began + START_LIMIT_SECONDS:
                self.stop()
                raise TimeoutError(f"no 200 from /health/live in {START_LIMIT_SECONDS} s")
            time.sleep(0.005)
        self.start_seconds = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it as a host would; kill it when it does not leave in half a minute."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()

    @property
    def pid(self) -> int:
        """The gunicorn master's."""
        if self.process is None:
            raise RuntimeError("the service has not been started")
        return self.process.pid

    def weigh(self) -> Weight:
        """What it weighs now, all processes."""
        return weigh(self.pid)

    def wait_until_engines_left(self) -> None:
        """Return when only gunicorn's own processes are there."""
        deadline = time.monotonic() + 60
        while set(self.weigh().roles) - {"master", "web"}:
            if time.monotonic() > deadline:
                raise TimeoutError("an engine is still there after a minute")
            time.sleep(0.1)

    def get(self, path: str) -> Answer:
        """GET *path*."""
        return self._ask("GET", path, b"", {})

    def speak(self, **fields: object) -> Answer:
        """Text to speech."""
        return self._ask("POST", SPEAK, json.dumps(fields).encode(), {"Content-Type": "application/json"})

    def transcribe(self, recording: Path, **fields: object) -> Answer:
        """Speech to text, as a browser's form sends it."""
        body, content_type = form(
            recording.read_bytes(),
            name=recording.name,
            **{name: str(value) for name, value in fields.items()},
        )
        return self._ask("POST", TRANSCRIBE, body, {"Content-Type": content_type})

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=3600)
        ) as connection:
            began = time.perf_counter()
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            first = response.read(1)
            first_byte = time.perf_counter() - began
            rest = response.read()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, first + rest, first_byte, time.perf_counter() - began)


class ServiceStopped(Exception):
    """It ended by itself before it answered; its exit status and last words."""


def bare(worker: str = "gthread") -> Service:
    """A Flask hello-world under the same gunicorn, with one *worker* of as many threads as ours."""
    # Started in its own folder: gunicorn reads a gunicorn.conf.py it finds.
    return Service(
        {"PYTHONPATH": str(ROOT)},
        application="bare:app",
        folder=Path(__file__).parent,
        options=("--worker-class", worker, "--threads", str(Settings().web_threads)),
    )


def processors() -> int:
    """How many the service may use: what the stock call gets as well."""
    return cgroup.processors()
