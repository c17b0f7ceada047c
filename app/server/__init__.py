"""gunicorn's worker, as this service needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def mount(application: WSGIApplication, prefix: str) -> WSGIApplication:
    """
    *application* below the path *prefix*, which is SCRIPT_NAME, and at the root as well.

    gunicorn's own handling answers 500 to what is not below it, as a host's health check is not.
    """

    def mounted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == prefix or path.startswith(f"{prefix}/"):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = prefix, path[len(prefix) :] or "/"
        return application(environ, start_response)

    return mounted
