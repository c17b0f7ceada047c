"""What tests share: an environment of their own, engines, the app, and the rule that nothing is left behind."""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

# Helpers assert, too: under PYTHONOPTIMIZE only what pytest rewrites still does.
pytest.register_assert_rewrite(*(f"tests.{path.stem}" for path in Path(__file__).parent.iterdir()))

from app.config import PROJECT, Settings  # noqa: E402
from app.engine.budget import Budget  # noqa: E402
from app.engine.launch import Program  # noqa: E402
from app.engine.process import Engine  # noqa: E402
from app.speech.voices import ESPEAK_LIBRARY, package_directory  # noqa: E402

from .processes import PATIENCE_SECONDS, children  # noqa: E402
from .server import Server  # noqa: E402

# What tests may know of the environment they are started in: programs, and how the run itself is set up.
KEPT = ("PATH", "TMPDIR", "PYTHON", "PYTEST_", "CT2_", "CHAOS", "FUZZ_SECONDS")


def pytest_configure(config: pytest.Config) -> None:
    """Give this process, and all it starts, an environment that is the same on every machine."""
    home = tempfile.TemporaryDirectory(prefix="pam-voice-home-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    os.environ.clear()
    os.environ |= {
        **kept,
        "HOME": home.name,
        "LC_ALL": "C.UTF-8",
        "TZ": "<+0545>-5:45",  # far from UTC, and not by whole hours
        "LD_LIBRARY_PATH": _our_espeak(Path(home.name)),
        "KOKORO": "false",  # its voices are here or not; tests of them ask for them
        # As engines are started (app/engine/launch.py): its threads wait by spinning, and tests run side by side.
        # A quarter of the processor time of Whisper's tests was that.
        "OPENBLAS_NUM_THREADS": "1",
    }
    time.tzset()
    if (PROJECT / ".env").exists():  # what is set there is not: an empty value counts as none
        from dotenv import dotenv_values

        named = set(dotenv_values(PROJECT / ".env")) & {
            name.upper() for name in Settings.__dataclass_fields__
        }
        os.environ |= dict.fromkeys(named - {"WEB_CONCURRENCY"}, "")
        os.environ["WEB_CONCURRENCY"] = "1"  # gunicorn reads it, too, as a number


# Files that take longest begin first, or two processors would wait for one at the end.
FIRST = (
    "tests/jobs/", "tests/http/", "tests/test_worker.py", "tests/test_server.py", "tests/browser/", "tests/hostile/",
    "tests/chaos/", "tests/engine_process/stt/test_whisper.py", "tests/cli/", "tests/test_",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the order of FIRST, then as they stand."""
    items.sort(
        key=lambda item: next((n for n, at in enumerate(FIRST) if item.nodeid.startswith(at)), len(FIRST))
    )


def _our_espeak(home: Path) -> str:
    """A directory where espeak-ng is found before the system's: the one that requirements.txt names."""
    package = package_directory("espeakng_loader")
    (home / ESPEAK_LIBRARY).symlink_to(package / "libespeak-ng.so")
    (home / "espeak-ng-data").symlink_to(package / "espeak-ng-data")
    return str(home)


class Clock:
    """A time that only passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def budget():
    return Budget(limit_mb=1000, reserve_mb=0, weigh_web=lambda: 50.0)


@pytest.fixture
def engine(budget, clock):
    """A real process that speaks the wire and knows no speech."""
    program = Program((sys.executable, "-m", "tests.fake_engine"), {}, cost_mb=100)
    engine = Engine("fake", program, budget, Settings(engine_seats=2), clock=clock)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def server():
    """The real server, with engines that go soon; its own children are not this process's."""
    with Server(ENGINE_IDLE_SECONDS="2") as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """A test that leaves a thread or a child process behind fails."""
    before, started = set(threading.enumerate()), set(children(os.getpid()))
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_SECONDS)
    assert set(threading.enumerate()) <= before
    assert set(children(os.getpid())) - started == set()
