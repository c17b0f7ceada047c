"""The service's description: OpenAPI 3.1 at /openapi.json, and a page for people at /docs."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template

from .headers import as_page

openapi = Blueprint("openapi", __name__)

NO_SCRIPTS = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@openapi.get("/openapi.json", summary="This description, for programs")
def document() -> Response:
    return jsonify(_described())


@openapi.get("/docs", summary="This description, for people")
def page() -> Response:
    return as_page(make_response(render_template("docs.html", document=_described())), NO_SCRIPTS)


def _described() -> dict[str, Any]:
    # Imported here: 0.3 MB that a worker nobody asks for it does not carry.
    from .operations import describe

    return describe(current_app)
