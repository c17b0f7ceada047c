"""The commands and programs in the README and `docs/` run as they stand, in the order in which they stand there."""

import contextlib
import fcntl
import functools
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from app.config import PROJECT, Settings

from .browser.test_page import BROWSER
from .likeness import understood
from .processes import free_port, until
from .recordings import AUSTEN_SHORT, recorded_as

NODE = PROJECT / "tests" / "node"
DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md"))]
RUN = ("sh", "python", "js", "html")
SHOWN = ("text", "http", "console")  # what arrives, what is set, and commands that are not run here
# Commands that can't be run here, by their first line, and why.
NOT_RUN = {
    "# on the web and on every worker: a persistent Redis": "needs several machines; docs/jobs.md has it on one",
    "heroku create": "needs an account at Heroku",
    'echo "API_KEYS=$(openssl rand -hex 24)" >> .env && docker': "needs Docker; benchmarks/image.py runs its steps",
    ".venv/bin/python -m app voices fetch kokoro": "downloads 90 MB; tests/speech and tests/cli do the same",
    "celery -A app.jobs.fleet.worker inspect active": "needs a worker with jobs, and their ids",
    ".venv/bin/pip install flower": "Flower and what it needs are no part of the project",
    "API_KEY=... scripts/smoke.sh https://": "needs a service on the internet; the same is run on the one here",
}
# Programs that go on until somebody ends them, and the port each answers at.
GOES_ON = re.compile(r"\b(make run|make worker|redis-server|http\.server|flask)\b[^\n]*\n$")
PORTS = {"make run": 8000, "http.server": 3000, "flask": 3000, "redis-server": 6379}
PAGE = r"<(http://\S+\.html)>"  # what a reader is told to open
PROGRAMS = ("git", "make", "curl", "npm", "chromium", "redis-server")  # that a reader needs for all of them
SENTENCE = "The quick brown fox jumps over the lazy dog."
LONGEST_SECONDS = 240


@dataclass(frozen=True)
class Fence:
    """What stands between three backticks, and the prose before it."""

    language: str
    text: str
    prose: str

    @property
    def file(self) -> str:
        """The name the prose tells a reader to save it as."""
        suffix = {"python": "py", "js": "mjs", "html": "html"}[self.language]
        return ([*re.findall(rf"`(\w+\.{suffix})`", self.prose), f"program.{suffix}"])[0]


def fences(document: str) -> list[Fence]:
    text = (PROJECT / document).read_text()
    found, prose = [], ""
    for before, language, block in re.findall(
        r"(.*?)^ *```(\w*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE
    ):
        heading = before.rfind("\n#")
        prose = before[heading:] if heading >= 0 else prose + before
        found.append(Fence(language, block, prose))
    return found


class Reader:
    """Somebody in a folder, with terminals; `with` ends what still runs in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []  # by programs and commands, in order
        self.opened: list[str] = []  # pages, in a browser
        self._terminals: dict[str, subprocess.Popen[bytes]] = {}
        # The ports in the documents, unless something else on this machine has them, or another run of these tests.
        self._lock = open(Path(tempfile.gettempdir()) / "pam-voice-examples.lock", "w")  # noqa: SIM115
        alone = first_to_lock(self._lock)
        self._ports = {
            port: port if alone and can_be_bound(port) else free_port() for port in set(PORTS.values())
        }
        (folder / ".curlrc").write_text("fail-with-body\nshow-error\n")  # a refusal is a failure
        self.environment = {
            **os.environ,
            "CURL_HOME": str(folder),
            "HOST": "127.0.0.1",
            "PORT": str(self._ports[8000]),
            "TTS_ENGINE": "neural",  # what speaks where Google is not reached, and is understood
            "npm_config_update_notifier": "false",
        }

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            for name in list(self._terminals):
                self.end(name)

    def here(self, text: str) -> str:
        """*text* with this machine's ports."""
        for port, ours in self._ports.items():
            text = re.sub(rf"\b{port}\b", str(ours), text)
        return text

    def follow(self, fence: Fence) -> None:
        """Do what a reader does with it."""
        text = self.here(fence.text)
        if fence.language == "sh":
            command = ["bash", "-euo", "pipefail", "-c", text]
            if not GOES_ON.search(text):
                return self.do(command)
            self.start(command)
            for url in re.findall(PAGE, self.here(fence.prose)):
                self.talk(url)
        else:
            program = self.folder / fence.file
            program.write_text(text)
            if fence.language != "html":
                self.do([{"python": ".venv/bin/python", "js": "node"}[fence.language], program.name])
                self.compare(text)

    def do(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        self.said.append(done.stdout)

    def compare(self, program: str) -> None:
        """Whether a program that transcribes heard what was said."""
        said = AUSTEN_SHORT.text if "austen_3s" in program else SENTENCE if SENTENCE in program else ""
        if said:
            assert understood(self.said[-1], said), self.said[-1]

    def start(self, command: list[str]) -> None:
        """In a terminal of its own; the same program in another is ended first."""
        (name,) = GOES_ON.findall(command[-1])
        self.end(name)
        with open(self.folder / f"{name.replace(' ', '-')}.log", "wb") as log:
            self._terminals[name] = terminal = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Who starts the tests with `&` has their processes ignore Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

        def answers() -> bool:
            assert terminal.poll() is None, Path(log.name).read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("localhost", self._ports[PORTS[name]]), timeout=5).close()
                return True
            return False

        if name in PORTS:
            until(answers, f"{name} answers", LONGEST_SECONDS, said=Path(log.name).read_text)

    def end(self, name: str) -> None:
        """Ctrl-C, as far as there is something to end."""
        terminal = self._terminals.pop(name, None)
        if terminal is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(terminal.pid, signal.SIGINT)
            try:
                terminal.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(terminal.pid, signal.SIGKILL)
                terminal.wait()
                raise

    def talk(self, url: str) -> None:
        """Open the page in a browser, and say something."""
        self.opened.append(url)
        microphone = self.folder / "microphone.wav"
        microphone.write_bytes(recorded_as("wav_stereo_48k", AUSTEN_SHORT))
        told = {"PAGE": url, "MICROPHONE": str(microphone)}
        done = subprocess.run(
            ["node", "--test", "--test-reporter=spec", "talk.test.js"],
            cwd=BROWSER, env={**os.environ, **told}, capture_output=True, text=True, timeout=LONGEST_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def jobs_are_done(self) -> bool:
        with urllib.request.urlopen(self.here("http://localhost:8000/api/v1/pam/voice/jobs")) as answer:
            states = [job["state"] for job in json.load(answer)["jobs"]]
        assert "failed" not in states
        return set(states) == {"succeeded"}


def can_be_bound(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server(("", port)):
        return True
    return False


def first_to_lock(file: IO[str]) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@contextlib.contextmanager
def npm_registry(folder: Path) -> Iterator[str]:
    """A registry that has the packages for Node, as `tests/node` has them."""
    packed = {}
    for name in ("openai", "ws"):
        shutil.copytree(NODE / "node_modules" / name, folder / "packages" / name, symlinks=True)
        done = subprocess.run(
            ["npm", "pack", "--ignore-scripts", "--silent", f"./packages/{name}"],
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        packed[name] = done.stdout.split()[-1]

    class Registry(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Registry, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        for name, file in packed.items():
            package = json.loads((folder / "packages" / name / "package.json").read_text())
            version = {**package, "dist": {"tarball": f"{url}/{file}"}}
            document = {
                "name": name,
                "dist-tags": {"latest": package["version"]},
                "versions": {package["version"]: version},
            }
            (folder / name).write_text(json.dumps(document))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield url
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """What is here, committed or not, as a repository to clone."""
    repository = tmp_path_factory.mktemp("repository") / "repository"
    # Also of what other tests write meanwhile.
    made = shutil.ignore_patterns(
        *".git .venv models node_modules cache build __pycache__ .env .*_cache .hypothesis".split()
    )

    def left_out(folder: str, names: list[str]) -> set[str]:
        return made(folder, names) | ({"data"} if Path(folder) == PROJECT else set())  # tests/data is ours

    shutil.copytree(PROJECT, repository, ignore=left_out)
    git = ["git", "-c", "user.name=reader", "-c", "user.email=reader@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "as it is"]):
        subprocess.run([*git, *command], cwd=repository, check=True)
    return repository


@pytest.fixture(scope="module")
def clone(repository, tmp_path_factory):
    """The README's first command, with the place of the repository; and what `make run` would download."""
    folder = tmp_path_factory.mktemp("reader")
    command = next(fence.text for fence in fences("README.md") if fence.language == "sh")
    subprocess.run(["bash", "-ec", command.replace("REPOSITORY", str(repository))], cwd=folder, check=True)
    clone = folder / "pam-voice"
    (clone / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (clone / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (clone / "models").symlink_to(Settings().model_dir)
    time.sleep(0.01)  # newer than requirements.txt, also where the clock of the file system ticks slowly
    (clone / ".venv" / "installed").touch()
    return clone


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with npm_registry(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.mark.long
@pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=f"needs {', '.join(PROGRAMS)}")
@pytest.mark.parametrize(
    "document", [name for name in DOCUMENTS if any(f.language in RUN for f in fences(name))]
)
def test_a_document_runs_as_printed(document, clone, registry):
    with Reader(clone) as reader:
        reader.environment["npm_config_registry"] = registry
        run = [fence for fence in fences(document) if fence.language in RUN]
        if document == "README.md":
            run = run[1:]  # `clone` did
        else:  # where a reader of the README stands
            (page,) = (fence for fence in fences("README.md") if fence.language == "html")
            reader.follow(page)
            reader.follow(Fence("sh", "make run\n", ""))
        for fence in run:
            reader.follow(fence)
        if any("/jobs -F" in fence.text for fence in run):
            until(reader.jobs_are_done, "every job succeeds", LONGEST_SECONDS)
    assert bool(reader.opened) == any(re.search(PAGE, fence.prose) for fence in run)
    assert [path.name for path in clone.iterdir() if path.is_file() and not path.stat().st_size] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_not_run_is_listed_with_its_reason(document):
    for fence in fences(document):
        assert fence.language in (*RUN, *SHOWN), fence.text
        if fence.language == "console":
            assert any(fence.text.startswith(first) for first in NOT_RUN), fence.text


def test_each_reason_is_still_needed():
    shown = [fence.text for name in DOCUMENTS for fence in fences(name) if fence.language == "console"]
    assert all(any(text.startswith(first) for text in shown) for first in NOT_RUN)
