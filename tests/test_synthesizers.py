"""The table of synthesizers is the only list of them: one more row, and everything knows it."""

import ast
import json
import re
import shutil
import subprocess
import sys

import pytest

from app.config import PROJECT
from app.synthesizers import SYNTHESIZERS

APP = PROJECT / "app"
OTHERS = sorted(path for path in APP.rglob("*.py") if path.name != "synthesizers.py")
# A second synthesizer on espeak-ng, as somebody would add one: its module, and its row.
MODULE = """
import espeakng_loader

from .espeak import Espeak


class Second(Espeak):
    def __init__(self):
        super().__init__([(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())])
"""
ROW = """
        SynthesizerSpec(
            "second",
            label="Second",
            made_by="second:Second",
            package="espeakng_loader",
            memory_mb=33.0,
            disk_mb=19,
            quality="robotic",
            licence="GPL-3.0-or-later",
            remedy="pip install espeakng-loader",
            summary="offline, English",
            voices=(FixedVoice("en-us", "en-US", "American English", "male", best_for="en"),),
        ),
"""
ASK = """
import json
from app import create_app
from app.cli.doctor.speech import synthesizers
from app.cli.voice import speak
from app.config import Settings, example

voice = "/api/v1/pam/voice"
app = create_app(Settings.from_env())
services = app.extensions["services"]
client = app.test_client()
spoken = client.post(f"{voice}/speak", json={"text": "Good morning.", "engine": "second", "format": "wav"})
said = {
    "spoken": [spoken.status_code, spoken.headers.get("X-TTS-Engine"), len(spoken.get_data())],
    "tried": client.get(f"{voice}/test", headers={"Accept": "application/json"}).json["engines"],
    "listed": client.get(f"{voice}/voices").json,
    "health": client.get(f"{voice}/health").json["synthesizers"],
    "described": client.get("/openapi.json").text,
    "doctor": [list(found) for found in synthesizers(services)],
    "settings": example(),
    "commands": [list(option.type.choices) for option in speak.params if option.name == "engine"],
}
services.close()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What a copy of the service says that has one synthesizer more."""
    place = tmp_path_factory.mktemp("project")
    shutil.copytree(APP, place / "app", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "app/engine_process/tts/second.py").write_text(MODULE)
    table = place / "app/synthesizers.py"
    first, begin, rest = table.read_text().partition('\n        SynthesizerSpec(\n            "espeak",')
    assert begin
    table.write_text(first + ROW + begin + rest)
    environment = {
        "HOME": str(place),
        "DISABLE_LOCAL_WHISPER": "true",
        "TTS_ENGINE": "auto",
        "KOKORO": "false",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=place, env=environment, check=True, capture_output=True, text=True, timeout=120
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_synthesizer_speaks_by_its_row_and_its_module(said):
    status, engine, size = said["spoken"]
    assert (status, engine) == (200, "second")
    assert size > 20_000
    (outcome,) = [one for one in said["tried"] if one["engine"] == "second"]
    assert outcome["ok"]
    assert outcome["voice"] == "second:en-us"


def test_a_synthesizer_is_listed_and_described_by_its_row(said):
    (voice,) = [one for one in said["listed"]["voices"] if one["engine"] == "second"]
    assert voice == {
        "id": "second:en-us", "name": "Second (American English, male)", "language": "en-US", "engine": "second",
        "offline": True, "gender": "male", "quality": "robotic",
    }  # fmt: skip
    assert said["listed"]["engines"]["second"] == {
        "label": "Second", "quality": "robotic", "megabytes": 19, "licence": "GPL-3.0-or-later",
        "languages": ["en-US"], "memory_mb": 33.0,
    }  # fmt: skip
    assert said["health"]["second"]["status"] == "healthy"
    assert [found[2] for found in said["doctor"] if found[1] == "second"] == ["offline, English"]
    names = [*SYNTHESIZERS]
    names.insert(-1, "second")  # before the last, where the copy has its row
    assert f"Who spoke: {', '.join(names)}" in said["described"]
    assert f"{', '.join(names)}, or auto" in said["described"]
    assert f"({' | '.join(['auto', *names])})" in said["settings"]
    assert "second" in said["commands"][0]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(APP)))
def test_no_other_module_lists_them(path):
    """Some names one that is a case of its own. Nothing about Pico is, so it is in the table and its module alone."""
    code = path.read_text()
    assert not re.search(r"\bpico\b", code)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            named = [each.value for each in node.elts if isinstance(each, ast.Constant)]
            assert len(SYNTHESIZERS.keys() & set(named)) < 2, named


def test_the_page_knows_them_by_what_the_server_says():
    for path in (APP / "static").glob("*.*"):
        assert not re.search(rf"\b({'|'.join(SYNTHESIZERS)})\b", path.read_text()), path.name


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_the_readme_has_a_row_for_each(name):
    assert f"\n| `{name}` | {SYNTHESIZERS[name].quality}" in (PROJECT / "README.md").read_text()
