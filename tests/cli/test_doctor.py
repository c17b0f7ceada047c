"""`doctor` names the cause, on set-ups that are really broken."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.config import PROJECT, Settings
from app.synthesizers import SYNTHESIZERS

from ..processes import free_port, until
from .command import ANOTHER, answering, run

MODEL = Path(Settings.from_env().model_dir) / "tiny.en"


@dataclass
class SetUp:
    """What is wrong: in the environment, before the command, or in the Python that runs it."""

    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    python: str = sys.executable


def setting(**environment: str):
    """A set-up that is broken by what is set."""

    @contextlib.contextmanager
    def broken(directory: Path) -> Iterator[SetUp]:
        yield SetUp({name: value.replace("TMP", str(directory)) for name, value in environment.items()})

    return broken


def model(damage):
    """One whose model was damaged by *damage*."""

    @contextlib.contextmanager
    def broken(directory: Path) -> Iterator[SetUp]:
        shutil.copytree(MODEL, directory / "tiny.en")
        damage(directory / "tiny.en")
        yield SetUp({"MODEL_DIR": str(directory)})

    return broken


def cut_off(files: Path) -> None:
    os.truncate(files / "decoder/model.bin", (files / "decoder/model.bin").stat().st_size - 1000)


def one_word_less(files: Path) -> None:
    words = (files / "vocabulary.txt").read_text("utf-8").splitlines(keepends=True)
    (files / "vocabulary.txt").write_text("".join(words[:-1]), "utf-8")


def no_tokenizer(files: Path) -> None:
    (files / "tokenizer.json").unlink()


def another_file(files: Path) -> None:
    (files / "decoder/model.bin").write_bytes(b"<!DOCTYPE html><title>502 Bad Gateway</title>" * 100)


@contextlib.contextmanager
def port_in_use(directory: Path) -> Iterator[SetUp]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)  # it never answers
        yield SetUp({"HOST": "127.0.0.1", "PORT": str(other.getsockname()[1])})


@contextlib.contextmanager
def upload_dir_is_a_file(directory: Path) -> Iterator[SetUp]:
    (directory / "uploads").write_text("")
    yield SetUp({"UPLOAD_DIR": str(directory / "uploads")})


@contextlib.contextmanager
def data_dir_below_a_file(directory: Path) -> Iterator[SetUp]:
    (directory / "data").write_text("")
    yield SetUp({"DATA_DIR": str(directory / "data" / "jobs")})


def mounted(options: str, command: str = ""):
    """One whose uploads go to a small file system of its own; in a name space, so nothing is mounted outside."""

    @contextlib.contextmanager
    def broken(directory: Path) -> Iterator[SetUp]:
        script = f'mount -t tmpfs -o {options} tmpfs "{directory}" && cd "{directory}" && {command or ":"}; '
        prefix = ("unshare", "--map-root-user", "--mount", "sh", "-c", f'({script}) && exec "$@"', "sh")
        if subprocess.run([*prefix, "true"], capture_output=True).returncode:
            pytest.skip("this machine lets nobody mount in a name space of their own")
        yield SetUp({"UPLOAD_DIR": str(directory)}, prefix)

    return broken


def listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def no_worker(directory: Path) -> Iterator[SetUp]:
    """A real broker that nobody takes jobs from."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed; `make test` as root installs it")
    port = free_port()
    command = [
        "redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--save",
        "",
        "--dir",
        str(directory),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as redis:
        try:
            until(lambda: listening(port), "Redis listens")
            yield SetUp(
                {"CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/0", "JOB_STORAGE_URL": f"file://{directory}"}
            )
        finally:
            redis.terminate()


WITH_PACKAGE = {name for name, one in SYNTHESIZERS.items() if one.package}
OFFLINE_PACKAGES = tuple(
    SYNTHESIZERS[name].package for name in WITH_PACKAGE if not SYNTHESIZERS[name].sends_texts_to
)


@contextlib.contextmanager
def without_voices(directory: Path) -> Iterator[SetUp]:
    """A Python with every package but those that speak offline."""
    for place in map(Path, [path for path in sys.path if path.endswith("site-packages")]):
        for package in place.iterdir():
            if not package.name.startswith(OFFLINE_PACKAGES):
                (directory / package.name).symlink_to(package)
    # Whatever the system has: nothing is looked for where it would be.
    (directory / "usercustomize.py").write_text(
        "from app.speech import voices\nvoices.SYSTEM_LIBRARIES = ()\n"
    )
    base = str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")
    paths = f"{directory}:{PROJECT}"
    yield SetUp({"PYTHONPATH": paths, "LD_LIBRARY_PATH": "", "TTS_ENGINE": "auto"}, python=base)


NOBODY = "redis://:hunter2hunter2@127.0.0.1:9/0"

BROKEN = {
    "a setting that is no number": (setting(PORT="eighty"), "error", "settings", "'eighty' is not a whole number"),
    "settings that contradict": (setting(ENGINE_SEATS="24"), "error", "settings", "ENGINE_SEATS: must be less than"),
    "a misspelt setting": (setting(WHISPER_MODLE="base"), "warning", "settings", "WHISPER_MODLE is read by nothing"),
    "no model": (setting(MODEL_DIR="TMP"), "error", "model", "tiny.en is not in"),
    "a model cut off": (model(cut_off), "error", "model", "damaged: the file ends in the middle"),
    "a model that is a web page": (model(another_file), "error", "model", "damaged: binary version"),
    "a vocabulary cut off": (model(one_word_less), "error", "model", "vocabulary.txt has 51863 tokens"),
    "no tokenizer": (model(no_tokenizer), "error", "model", "tokenizer.json is missing"),
    "a model nobody knows": (setting(WHISPER_MODEL="tiny-en"), "error", "budget", "no model is called 'tiny-en'"),
    "a budget too small": (setting(MEMORY_BUDGET_MB="150"), "error", "budget", "the engine of tiny.en needs 160"),
    "a budget nobody grants": (setting(MEMORY_BUDGET_MB="9999999"), "error", "memory", "is more than the"),
    "the port in use": (port_in_use, "error", "port", "is in use by another program"),
    "another machine's address": (setting(HOST="203.0.113.1"), "error", "port", "can't be listened on"),
    "no upload directory": (setting(UPLOAD_DIR="TMP/uploads"), "error", "uploads", "does not exist"),
    "a file for a directory": (upload_dir_is_a_file, "error", "uploads", "is not a directory"),
    "a directory below a file": (data_dir_below_a_file, "error", "jobs", "is not a directory"),
    "a full disk": (
        mounted("size=1m", "head -c 2000000 /dev/zero > full 2>/dev/null; true"),
        "error", "uploads", "can't take an upload: 0 MB free",
    ),
    "a small disk": (mounted("size=9m"), "error", "uploads", "can't take an upload: 9 MB free"),
    "a read-only disk": (mounted("ro"), "error", "uploads", "Read-only file system"),
    "the broker away": (setting(CELERY_BROKER_URL=NOBODY), "error", "broker", "does not answer"),
    "no worker": (no_worker, "warning", "workers", "none answers: jobs wait"),
    "Redis away": (setting(REDIS_URL=NOBODY), "error", "redis", "does not answer"),
    "gTTS away, and alone": (setting(TTS_ENGINE="gtts"), "error", "gtts", "can't be reached"),
    "no voice installed": (without_voices, "error", "espeak", "is not installed"),
    "a neural voice that does not fit": (
        setting(TTS_ENGINE="neural", DISABLE_LOCAL_WHISPER="true", MEMORY_BUDGET_MB="240"),
        "error", "neural", "needs 185 MB",
    ),
    "no server to transcribe": (
        setting(DISABLE_LOCAL_WHISPER="true", OPENAI_BASE_URL="http://127.0.0.1:9/v1"),
        "error", "model", "OPENAI_BASE_URL can't be reached",
    ),
    "a limit no worker keeps": (
        setting(WORKER_SOFT_LIMIT_MB="1", WORKER_HARD_LIMIT_MB="2"), "warning", "memory", "after every request",
    ),
    "nobody is asked for a key": (setting(ENVIRONMENT="production"), "warning", "access", "API_KEYS is not set"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_the_cause_is_named_with_a_remedy(broken, tmp_path):
    prepare, status, name, cause = BROKEN[broken]
    with prepare(tmp_path) as made:
        environment = {"PORT": str(free_port()), **made.environment}
        done = run("doctor", "--json", prefix=made.prefix, python=made.python, **environment)
    findings = json.loads(done.stdout)["findings"]
    (found,) = [each for each in findings if each["name"] == name and cause in each["detail"]]
    assert found["status"] == status
    assert found["remedy"]
    errors = {each["name"] for each in findings if each["status"] == "error"}
    follow = {"synthesis", *(WITH_PACKAGE - {"espeak"} if broken == "no voice installed" else ())}
    assert errors - follow == ({name} if status == "error" else set()), "only what is broken is an error"
    assert done.returncode == bool(errors)
    assert b"hunter2" not in done.stdout + done.stderr
    assert not done.stderr


def test_a_set_up_that_works_is_said_to_and_the_proof_is_heard():
    done = run("doctor", "--try", HOST="127.0.0.1", PORT=str(free_port()), TTS_ENGINE="espeak")
    assert done.returncode == 0, done.stdout.decode()
    assert b"trial          espeak:en" in done.stdout
    assert re.search(rb"understood \(encoder: (kernels|numpy)\)", done.stdout)
    assert done.stdout.endswith(b"\n0 errors, 0 warnings\n")


def test_its_own_service_on_the_port_is_no_error(server):
    done = run("doctor", HOST="127.0.0.1", PORT=str(server.port))
    assert b"this service answers there" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("other", ANOTHER)
def test_another_program_on_the_port_is_said_to_be_there(other):
    with answering(ANOTHER[other]) as port:
        done = run("doctor", "--json", HOST="127.0.0.1", PORT=str(port))
    assert done.returncode == 1
    (found,) = [each for each in json.loads(done.stdout)["findings"] if each["status"] == "error"]
    assert (found["name"], "is in use by another program" in found["detail"]) == ("port", True)


def test_nothing_is_left_by_the_looking(tmp_path):
    run(
        "doctor",
        UPLOAD_DIR=str(tmp_path),
        DATA_DIR=str(tmp_path / "a" / "b"),
        TTS_CACHE_DIR=str(tmp_path / "c"),
    )
    assert list(tmp_path.iterdir()) == []


def test_every_problem_of_the_settings_is_a_line():
    done = run("doctor", PORT="eighty", LOG_LEVEL="loud")
    assert done.stdout.decode().count("error    settings") == 2
    assert done.returncode == 1
