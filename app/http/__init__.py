"""The routes: HTTP in, HTTP out. What a route does is in the room of the same name."""

from .health import health, page
from .jobs import jobs
from .memory import memory
from .monitoring import monitoring
from .openai_audio import openai_audio
from .openapi import openapi
from .voice import voice

BLUEPRINTS = (health, jobs, memory, monitoring, openai_audio, openapi, page, voice)
