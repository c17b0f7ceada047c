"""The documents are held to the code."""

import re
import subprocess
import sys

import pytest

from app import create_app
from app.config import PROJECT, Settings

README = (PROJECT / "README.md").read_text()


def test_every_route_is_in_the_readme():
    app = create_app(Settings(monitoring=False))
    rules = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"}
    named = set(re.findall(r"/[\w/.<>:-]*", README))
    assert {re.sub(r"<\w+:(\w+)>", r"<\1>", rule) for rule in rules} <= named


def test_every_setting_the_documents_name_exists():
    documents = [README, *(path.read_text() for path in (PROJECT / "docs").glob("*.md"))]
    settings = {name.upper() for name in Settings.__dataclass_fields__}
    ours = {name for name in settings if "_" in name}
    prefixes = tuple({name.split("_")[0] + "_" for name in ours} - {"OPENAI_", "OTEL_"})
    named = set(re.findall(r"`([A-Z][A-Z_]+[A-Z])(?:=[^`]*)?`", "\n".join(documents)))
    assert {name for name in named if name.startswith(prefixes)} <= settings


def test_the_files_the_documents_point_to_exist():
    for document in [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("command", [["models", "list"], ["models", "fetch"]])
def test_the_commands_the_hosts_run_work(command):
    done = subprocess.run(
        [sys.executable, "-m", "app", *command], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "tiny.en" in done.stdout
