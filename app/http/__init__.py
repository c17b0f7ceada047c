"""The routes: HTTP in, HTTP out. What a route does is in a room below."""

from flask import Flask

from .jobs import jobs
from .openai_audio import ALIASES, openai_audio
from .pages import openapi, page
from .realtime import live, realtime
from .status import health, memory, monitoring
from .voice import voice


def register(app: Flask) -> None:
    """All of them; OpenAI's under each of their paths."""
    for blueprint in (health, jobs, live, memory, monitoring, openai_audio, openapi, page, realtime, voice):
        app.register_blueprint(blueprint)
    for name, prefix in ALIASES.items():
        app.register_blueprint(openai_audio, name=f"openai_{name}", url_prefix=prefix)
        app.register_blueprint(realtime, name=f"realtime_{name}", url_prefix=prefix)
