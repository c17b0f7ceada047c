"""The runbook: every error is in it, every alert leads into it, and what it names exists."""

import re

import yaml

from app.config import PROJECT, Settings
from app.errors import ServiceError

RUNBOOK = (PROJECT / "docs" / "runbook.md").read_text()


def errors(root=ServiceError):
    yield root
    for error in root.__subclasses__():
        yield from errors(error)


def anchors():
    """What a heading is called in a link: lower case, words joined by hyphens."""
    for heading in re.findall(r"^#+ (.+)$", RUNBOOK, re.M):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_error_of_the_service_is_in_it():
    missing = {error.code for error in errors() if f"`{error.code}`" not in RUNBOOK}
    assert missing == set()


def test_every_error_says_when_it_is_raised():
    """In a comment behind its class, or in the line above it."""
    source = (PROJECT / "app" / "errors.py").read_text()
    said = dict(re.findall(r"^class (\w+)\(.*: \.\.\.  # (.{10,})$", source, re.M))
    said |= {name: when for when, name in re.findall(r"^# (.{20,})\nclass (\w+)\(.*: \.\.\.$", source, re.M)}
    assert {error.__name__ for error in errors()} - {"ServiceError"} | {"ClientGone"} == said.keys()


def test_every_status_of_an_error_is_in_it():
    assert {error.status for error in errors() if str(error.status) not in RUNBOOK} == set()
    assert "499" in RUNBOOK


def test_every_alert_leads_to_a_heading_of_it():
    rules = yaml.safe_load((PROJECT / "docs" / "alerts.yml").read_text())["groups"][0]["rules"]
    links = [rule["annotations"]["runbook_url"] for rule in rules]
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        assert (PROJECT / path).read_text() == RUNBOOK
        assert anchor in set(anchors()), link
    assert any("jobs_" in rule["expr"] for rule in rules)


def test_its_own_links_lead_somewhere():
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= set(anchors())


def test_the_settings_it_names_exist():
    named = set(re.findall(r"`([A-Z][A-Z_]{4,})[`=]", RUNBOOK)) - {"FILE"}
    assert {name for name in named if not hasattr(Settings, name.lower())} == set()
