"""The page for people: files of app/static, sent as they are."""

import mimetypes

from flask import Blueprint, Response, current_app, request

from .headers import as_page

page = Blueprint("page", __name__)
# Types are Python's own: the system's tables differ from machine to machine, and would stay with 0.35 MB.
page.record_once(lambda state: mimetypes.knownfiles.clear())


@page.get("/dashboard")
def dashboard() -> Response:
    """Memory as it goes, health, requests, the queue; a microphone and a voice to try."""
    # A file and no template: nothing is to be filled in, and browsers keep it by its ETag.
    return as_page(current_app.send_static_file("page.html"))


def is_wanted() -> bool:
    """Whether the client would rather have a page than JSON: browsers would, curl and SDKs take anything."""
    kinds = request.accept_mimetypes
    return kinds["text/html"] > kinds["application/json"]
