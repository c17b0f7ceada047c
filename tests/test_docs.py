"""The documents are held to the code."""

import re
import subprocess
import sys

import pytest

from app import create_app
from app.config import PROJECT, Settings
from app.http.openai_audio import RESPONSE_FORMATS
from app.speech.formats import AUDIO, TRANSCRIPTS

README = (PROJECT / "README.md").read_text()
DECISIONS = sorted((PROJECT / "docs" / "decisions").glob("[0-9]*.md"))
# What names files of the code, which are renamed now and then.
MAPS = ["CONTRIBUTING.md", "docs/architecture.md", *(str(path.relative_to(PROJECT)) for path in DECISIONS)]


def test_every_route_is_in_the_readme():
    app = create_app(Settings(monitoring=False))
    named_so = [rule for rule in app.url_map.iter_rules() if "_alias." not in rule.endpoint]
    rules = {rule.rule for rule in named_so if rule.endpoint != "static"}
    named = set(re.findall(r"/[\w/.<>:-]*", README))
    assert {re.sub(r"<\w+:(\w+)>", r"<\1>", rule) for rule in rules} <= named


def test_every_setting_the_documents_name_exists():
    documents = [README, *(path.read_text() for path in (PROJECT / "docs").glob("*.md"))]
    settings = {name.upper() for name in Settings.__dataclass_fields__}
    ours = {name for name in settings if "_" in name}
    prefixes = tuple({name.split("_")[0] + "_" for name in ours} - {"OPENAI_", "OTEL_"})
    named = set(re.findall(r"`([A-Z][A-Z_]+[A-Z])(?:=[^`]*)?`", "\n".join(documents)))
    assert {name for name in named if name.startswith(prefixes)} <= settings


def test_every_format_is_in_the_documents():
    ours = README.splitlines()
    openais = (PROJECT / "docs" / "openai.md").read_text().splitlines()
    heard, said = (line for line in openais if line.startswith("| `response_format` |"))
    (result,) = (line for line in ours if "/jobs/<id>/result` |" in line)
    (speak,) = (line for line in ours if line.startswith("| `POST /api/v1/pam/voice/speak` |"))
    assert set(RESPONSE_FORMATS) <= set(re.findall(r"`(\w+)`", heard))
    assert set(AUDIO) <= set(re.findall(r"`(\w+)`", said))
    assert set(TRANSCRIPTS) <= set(re.findall(r"\w+", result))
    assert set(AUDIO) <= set(re.findall(r"\w+", speak))


def test_the_files_the_documents_point_to_exist():
    documents = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    for document in [*documents, *(PROJECT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


# Turns of phrase that readers had to guess at, in documents, messages, help and the page.
RIDDLES = (
    "budget it knows", "is not looked at", "keeps what it is told", "there may be more", "looking on",
    "and goes with it",
    "put off", "dialect", "turned away", "none of this service's", "is heard when", "turns out improbable",
    "what keeps them from it", "asked for there", "no header carries", "is left in the midst", "nobody here speaks",
)  # fmt: skip


def test_no_riddles_are_told():
    texts = [path for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", ".env.example", "app.json", "render.yaml")
             if (path := PROJECT / name).exists()]  # fmt: skip
    texts += [*(PROJECT / "docs").rglob("*.md"), *(PROJECT / "app").rglob("*.py")]
    texts += (path for path in (PROJECT / "app" / "static").iterdir() if path.suffix in (".js", ".html"))
    told = [(path.name, riddle) for path in texts for riddle in RIDDLES if riddle in path.read_text()]
    assert told == []


@pytest.mark.parametrize("document", MAPS)
def test_the_code_the_documents_name_exists(document):
    """A file may be named by the end of its path."""
    files = [f"/{path.relative_to(PROJECT)}" for path in (PROJECT / "app").rglob("*.py")]
    for name in re.findall(r"`([\w/.]+(?:\.py|/))`", (PROJECT / document).read_text()):
        assert (PROJECT / name).exists() or any(f"/{name}" in file for file in files), name


def test_the_names_a_newcomer_is_sent_to_are_there():
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    found = re.findall(r"`(\w+)`(?: and `(\w+)`)? (?:in|of) `([\w/.]+\.py)`", text)
    assert len(found) > 8
    for *names, file in found:
        code = (PROJECT / file).read_text()
        assert all(re.search(rf"\b{name}\b", code) for name in names if name), (names, file)


def test_the_map_is_two_pages():
    lines = (PROJECT / "docs" / "architecture.md").read_text().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_form_and_is_in_the_index(path):
    lines = path.read_text().splitlines()
    title = lines[0].removeprefix("# ")
    assert title.startswith(f"{int(path.name[:4])}. ")
    assert re.match(r"Status: (accepted|superseded by \d+)\.?", lines[2])
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert headings == ["Context", "Decision", "Consequences", "What would change it"]
    assert max(map(len, lines)) <= 120
    assert f"- [{title}]({path.name})" in (path.parent / "README.md").read_text().splitlines()


@pytest.mark.parametrize("command", [["models", "list"], ["models", "fetch"]])
def test_the_commands_the_hosts_run_work(command):
    done = subprocess.run(
        [sys.executable, "-m", "app", *command], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "tiny.en" in done.stdout
