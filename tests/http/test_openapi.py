"""The description against the routes it describes."""

import re

import pytest

from app import create_app
from app.config import Settings


@pytest.fixture
def app():
    app = create_app(Settings())
    yield app
    app.extensions["services"].close()


@pytest.fixture
def document(app):
    return app.test_client().get("/openapi.json").json


def test_every_route_is_described_and_nothing_else(app, document):
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static" and "_alias." not in rule.endpoint
    }
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert described == routes


def test_an_operation_has_a_name_of_its_own(document):
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


def test_parameters_of_a_path_are_described(document):
    (parameter,) = document["paths"]["/v1/models/{name}"]["get"]["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("name", "path", True)


def test_what_openai_requires_is_required(document):
    content = document["paths"]["/v1/audio/transcriptions"]["post"]["requestBody"]["content"]
    schema = content["multipart/form-data"]["schema"]
    assert schema["required"] == ["file", "model"]
    assert schema["properties"]["temperature"]["maximum"] == 1


def test_the_page_names_every_path_and_needs_nothing_from_elsewhere(app, document):
    answer = app.test_client().get("/docs")
    page = answer.text
    assert all(path in page for path in document["paths"])
    assert "<script" not in page
    assert " style=" not in page
    assert re.findall(r'(?:src|href)="(?!/|#)[^"]*"', page) == []
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_the_pages_stylesheet_is_here(app):
    client = app.test_client()
    (stylesheet,) = re.findall(r'rel="stylesheet" href="([^"]+)"', client.get("/docs").text)
    answer = client.get(stylesheet, buffered=True)
    assert answer.status_code == 200
    assert "url(" not in answer.text


def test_what_needs_a_key_says_so_and_how_it_is_sent(document):
    refused = {
        path
        for path, methods in document["paths"].items()
        if "401" in next(iter(methods.values()))["responses"]
    }
    assert "/api/memory" in refused
    assert refused & {"/", "/health", "/v1/models", "/v1/models/{name}", "/docs"} == set()
    assert document["security"] == [{}, {"bearer": []}, {"header": []}]
    assert document["components"]["securitySchemes"]["header"]["name"] == "X-API-Key"
