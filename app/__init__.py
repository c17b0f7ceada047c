"""A speech backend that stays inside a memory limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from .config import Settings
    from .services import Services

__version__ = "0.2.0"


def create_app(settings: Settings | None = None, services: Services | None = None) -> Flask:
    """Build the app; settings come from the environment unless they are given."""
    # Imported here: the engine process imports this package too, and stays 20 MB smaller.
    from flask import Flask

    from . import errors, http, logs, startup
    from .config import Settings
    from .http import auth, hooks, pages
    from .services import Services

    settings = settings or Settings.from_env()
    app = Flask(__name__)
    app.extensions["services"] = services or Services.build(settings)
    errors.register(app)
    hooks.register(app, settings)
    pages.allow_origins(app, settings)
    auth.register(app, app.extensions["services"].access)
    http.register(app)
    logs.begin_telemetry(app, settings)
    startup.announce(settings)
    app.extensions["services"].access.announce()
    return app
