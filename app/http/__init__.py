"""The routes: HTTP in, HTTP out. What a route does is in the room of the same name."""

from .jobs import jobs
from .openai_audio import openai_audio
from .openapi import openapi
from .status import health, memory, monitoring, page
from .voice import voice

BLUEPRINTS = (health, jobs, memory, monitoring, openai_audio, openapi, page, voice)
