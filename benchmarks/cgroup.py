"""
The service in a memory control group without swap, an hour's recording and eight clients with clips at once.

Right is: nothing killed by the kernel, no status but 200 and 503 with Retry-After, every text what was said.
Needs to be root on a machine where groups can be made; says so elsewhere.
"""

import collections
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from .accuracy import word_errors
from .recordings import CLIP, Recording, long_recording
from .service import Answer, Service, ServiceStopped
from .table import Row, main

CLIENTS = 8
LONGEST_WAIT_SECONDS = 2.0  # clients come back at least this often, whatever Retry-After says
LIMITS_MB = (512, 256)
WRONG_PERCENT = (
    20.0  # of a clip's words; int8 arithmetic differs between processors, and with it a word here and there
)
V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A control group of *limit_mb* without swap, version 1 or 2, from `__enter__` to `__exit__`."""

    def __init__(self, limit_mb: int) -> None:
        self.version = 1 if V1.is_dir() else 2
        self.path = (V1 if self.version == 1 else V2) / f"voice-benchmark-{os.getpid()}-{limit_mb}"
        self._limit = str(limit_mb << 20)

    def __enter__(self) -> "MemoryGroup":
        self.path.mkdir()
        limits = {"memory.limit_in_bytes": self._limit, "memory.memsw.limit_in_bytes": self._limit}
        if self.version == 2:
            limits = {"memory.max": self._limit, "memory.swap.max": "0"}
        for name, value in limits.items():
            if (self.path / name).exists():  # without swap accounting there is no memsw file
                (self.path / name).write_text(value)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                return self.path.rmdir()
            except OSError:  # a process is still ending
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    @property
    def command_prefix(self) -> tuple[str, ...]:
        """Comes before a command, to run it inside."""
        return ("sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh")

    @property
    def peak_mb(self) -> float:
        """The most the kernel has counted here, page cache included."""
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        return int((self.path / name).read_text()) / 2**20

    @property
    def kills(self) -> int:
        """How many processes the kernel ended for want of memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        lines = (self.path / name).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


class Load:
    """A long recording from one client while eight send clips, each again when it has its answer."""

    def __init__(self, service: Service, recording: Recording, *, limit_seconds: float = 3600) -> None:
        self.service, self.recording, self.limit_seconds = service, recording, limit_seconds
        self.statuses: collections.Counter[str] = collections.Counter()
        self.wrong_texts = 0
        self.long_answer: Answer | None = None
        self._over = threading.Event()
        self._counting = threading.Lock()

    def run(self) -> None:
        """Until the long recording is answered; TimeoutError when it is not in time."""
        deadline = time.monotonic() + self.limit_seconds
        clients = [threading.Thread(target=self._send_clips) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            while self.long_answer is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no 200 in {self.limit_seconds} s; answers: {dict(self.statuses)}")
                answer = self.service.transcribe(self.recording.path)
                if self._count(answer) == 200:
                    self.long_answer = answer
        finally:
            self._over.set()
            for client in clients:
                client.join()

    def _send_clips(self) -> None:
        while not self._over.is_set():
            answer = self.service.transcribe(CLIP.path)
            if self._count(answer) == 200:
                with self._counting:
                    self.wrong_texts += word_errors(CLIP.text, answer.json["text"]) > WRONG_PERCENT

    def _count(self, answer: Answer) -> int:
        """Take note of *answer*, and wait as it asks."""
        asked = answer.headers.get("retry-after")
        name = f"{answer.status}" + (" with Retry-After" if asked else "")
        with self._counting:
            self.statuses[name] += 1
        if asked:
            self._over.wait(min(float(asked), LONGEST_WAIT_SECONDS))
        return answer.status


def measure(quick: bool) -> Iterator[Row]:
    """In 512 MB, and in 256 MB, where it may also refuse to start."""
    recording = long_recording(3 if quick else 60)
    for limit_mb in LIMITS_MB:
        try:
            with MemoryGroup(limit_mb) as group:
                try:
                    with Service(command_prefix=group.command_prefix) as service:
                        load = Load(service, recording)
                        load.run()
                except ServiceStopped as stopped:
                    yield Row(f"in {limit_mb} MB: refused to start, exit status", stopped.args[0], "")
                    continue
                yield from rows(f"in {limit_mb} MB", load, group)
        except PermissionError as error:
            yield Row(f"in {limit_mb} MB: not measured, no control group can be made here", error.errno, "")


def rows(where: str, load: Load, group: MemoryGroup) -> Iterator[Row]:
    """What came of it."""
    yield Row(f"{where}: processes killed by the kernel", group.kills, "", 0)
    for status, count in sorted(load.statuses.items()):
        expected = status in ("200", "503 with Retry-After")
        yield Row(f"{where}: answers {status}", count, "", None if expected else 0)
    yield Row(f"{where}: clips with another text than was said", load.wrong_texts, "", 0)
    if load.long_answer is not None:
        heard = load.long_answer.json["text"]
        length = f"{load.recording.seconds // 60:.0f} min"
        yield Row(f"{where}: word errors, {length}", word_errors(load.recording.text, heard), "%", 2)
        yield Row(f"{where}: seconds for the {length}", load.long_answer.seconds, "s")
    yield Row(f"{where}: peak as the kernel counts, with page cache", group.peak_mb, "MB")


if __name__ == "__main__":
    main(measure)
