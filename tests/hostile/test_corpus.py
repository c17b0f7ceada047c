"""Every hostile request, over the real server: a refusal or sane text, and nothing left behind."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import memory
from tests.likeness import understood
from tests.processes import until
from tests.recordings import AUSTEN_SHORT
from tests.server import Server

from . import corpus
from .client import Told, send

AT_ONCE = 6
# What a worker keeps of its own use, mostly stacks and arenas of threads it has not had before
KEPT_MB = 8

FAMILIES = (
    "cut off", "damaged", "lying", "bomb", "reference", "polyglot", "no recording", "name", "form", "header",
    "framing", "json", "text",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where the attacked service keeps its files."""
    return tmp_path_factory.mktemp("attacked")


@pytest.fixture(scope="module")
def attacked(place) -> Iterator[Server]:
    """A server whose every file is under `place`."""
    (place / "uploads").mkdir()
    (place / "tmp").mkdir()
    environment = {
        "TTS_ENGINE": "espeak",
        "UPLOAD_DIR": str(place / "uploads"),
        "TMPDIR": str(place / "tmp"),
        "TTS_CACHE_DIR": str(place / "cache"),
        "DATA_DIR": str(place / "data"),
        "MAX_AUDIO_MINUTES": "2",
        "ENGINE_IDLE_SECONDS": "1",
    }
    with Server(**environment) as server:
        yield server


@pytest.fixture(scope="module")
def weighed_first(attacked) -> float:
    """The service's MB when it has served each kind of request once, and its engines are gone."""
    attacked.upload("/api/v1/pam/voice/transcribe", AUSTEN_SHORT.path.read_bytes())
    attacked.post("/api/v1/pam/voice/speak", {"text": "Hello.", "format": "wav"})
    for path in (
        "/api/status?with=requests",
        "/api/v1/pam/voice/jobs",
        "/api/v1/pam/voice/voices",
        "/v1/models",
    ):
        assert attacked.get(path).status == 200
    return at_rest(attacked)


def at_rest(server: Server) -> float:
    """
    What the service weighs in MB once its engines have gone: what is its processes' own (USS).

    Not PSS: that rises when another service, which had the same libraries, ends.
    """

    def processes() -> list[dict]:
        return server.get("/api/memory").json["service"]["processes"]

    # Master and worker. An engine that is ending has no place in /health any more, and still some of its memory.
    until(lambda: len(processes()) == 2, "the engines go")
    return sum(memory.footprint(process["pid"]).uss_mb for process in processes())


@pytest.fixture(scope="module")
def told(attacked, weighed_first) -> list[Told]:
    """What each was told; six are sent at a time."""
    with ThreadPoolExecutor(AT_ONCE) as clients:
        return list(clients.map(lambda attack: send(attack, attacked.port), corpus()))


def test_there_are_hundreds_of_every_kind_and_each_has_its_own_name(told):
    names = Counter((one.attack.family, one.attack.name) for one in told)
    assert len(names) >= 600
    assert max(names.values()) == 1
    assert {family for family, _ in names} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_is_refused_or_answered_sanely(family, told):
    """No 5xx: nothing here is the service's fault, and each attack has its seat."""
    wrong = [
        f"{one.attack.name}: {one.statuses} {one.body[:200]!r}"
        for one in told
        if one.attack.family == family and not sane(one)
    ]
    assert wrong == []


def sane(one: Told) -> bool:
    """Whether it was answered, and as the client's mistake if at all; what is no HTTP may find the door shut."""
    answered = bool(one.statuses) or one.attack.family == "framing"
    return answered and all(200 <= status < 500 for status in one.statuses)


def test_no_header_is_injected(told):
    injected = [
        one.attack.name
        for one in told
        if any(line.lower().startswith((b"set-cookie", b"x-injected")) for line in one.heads.splitlines())
    ]
    assert injected == []


def test_no_file_is_read_for_a_stranger(told):
    beginning = Path("/etc/passwd").read_bytes()[:20]
    assert [one.attack.name for one in told if beginning in one.body] == []


def test_noise_is_not_heard_as_speech(told):
    """What was noise before it was cut off or damaged has no text."""
    heard = [
        (one.attack.name, one.body)
        for one in told
        if one.attack.family == "cut off" and one.statuses == [200] and b'"text":""' not in one.body
    ]
    assert heard == []


def test_the_service_works_as_before(told, attacked):
    assert attacked.get("/health").status == 200
    answer = attacked.upload("/api/v1/pam/voice/transcribe", AUSTEN_SHORT.path.read_bytes())
    assert understood(answer.json["text"], AUSTEN_SHORT.text)
    assert attacked.post("/api/v1/pam/voice/speak", {"text": "Hello.", "format": "wav"}).status == 200


def test_nothing_is_left_on_disk(told, attacked, place):
    assert list((place / "uploads").iterdir()) == []
    assert [path for path in (place / "tmp").rglob("*") if path.is_file()] == []
    with contextlib.suppress(FileNotFoundError):
        assert [path for path in (place / "cache").iterdir() if path.suffix != ".audio"] == []


def test_memory_comes_back(told, attacked, weighed_first):
    assert at_rest(attacked) < weighed_first + KEPT_MB


def test_no_engine_died_and_nothing_failed_in_the_log(told, attacked):
    wrong = [line for line in attacked.log.splitlines() if "Traceback" in line or " ended: " in line]
    assert wrong == []
