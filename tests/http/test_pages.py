"""Who gets the page, who gets JSON, and what the page is made of."""

import re

import pytest

from app import create_app
from app.config import PROJECT, Settings

BROWSERS = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "text/html",
)
PROGRAMS = ("*/*", "", "application/json", "application/json, text/plain, */*", "application/json, text/html")
STATIC = PROJECT / "app" / "static"


@pytest.fixture(scope="module")
def client():
    app = create_app(Settings(monitoring=False))
    yield app.test_client()
    app.extensions["services"].close()


@pytest.mark.parametrize("accept", BROWSERS)
def test_a_browser_gets_the_page(client, accept):
    answer = client.get("/", headers={"Accept": accept}, buffered=True)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "<title>pam-voice</title>" in answer.text
    assert "Accept" in answer.headers["Vary"]


@pytest.mark.parametrize("accept", PROGRAMS)
def test_a_program_gets_json(client, accept):
    answer = client.get("/", headers={"Accept": accept} if accept else {})
    assert answer.json["name"] == "pam-voice"
    assert "Accept" in answer.headers["Vary"]


def test_the_dashboard_is_the_page_whoever_asks(client):
    asked = client.get("/dashboard", headers={"Accept": "application/json"}, buffered=True)
    assert asked.mimetype == "text/html"
    again = client.get("/dashboard", headers={"If-None-Match": asked.headers["ETag"]}, buffered=True)
    assert again.status_code == 304


def test_the_page_has_no_code_inside_and_all_it_names_is_here(client):
    page = client.get("/dashboard", buffered=True).text
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", page) == []
    named = set(re.findall(r'(?:src|href)="(static/[^"]+)"', page))
    modules = {f"static/{path.name}" for path in STATIC.glob("*.js")}
    assert named == modules | {"static/page.css", "static/icon.svg"}
    for path in named:
        answer = client.get(f"/{path}", buffered=True)
        assert answer.status_code == 200
        if path.endswith(".js"):
            assert answer.mimetype.endswith("/javascript")


def test_every_id_the_modules_look_up_is_in_the_page_once():
    page = (STATIC / "page.html").read_text()
    ids = re.findall(r'\bid="([\w-]+)"', page)
    assert len(ids) == len(set(ids))
    looked_up = {
        id for path in STATIC.glob("*.js") for id in re.findall(r'byId\("([\w-]+)"\)', path.read_text())
    }
    assert looked_up <= set(ids)


@pytest.mark.parametrize("host", ["a" * 64, "a..b", ".a", "a" * 300])
def test_a_host_that_no_name_can_be_is_refused(client, host):
    assert client.get("/health/live", headers={"Host": host}).status_code == 400
    assert client.get("/health/live", headers={"Host": "a.example:80"}).status_code == 200
