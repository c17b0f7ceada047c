"""The page for people: files of app/static, sent as they are."""

from flask import Blueprint, Response, current_app, request

page = Blueprint("page", __name__)

# Nothing inline, nothing from elsewhere; what is recorded and spoken is played from the tab's own memory.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@page.get("/dashboard")
def dashboard() -> Response:
    """Memory as it goes, health, requests, the queue; a microphone and a voice to try."""
    # A file and no template: rendering one leaves 0.9 MB of Jinja in the worker.
    response = current_app.send_static_file("page.html")
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Permissions-Policy"] = "microphone=(self)"
    return response


def is_wanted() -> bool:
    """Whether the client would rather have a page than JSON: browsers would, curl and SDKs take anything."""
    kinds = request.accept_mimetypes
    return kinds["text/html"] > kinds["application/json"]
