"""The doors: HTTP in, HTTP out. What a door leads to is in the room of the same name."""

from .health import health
from .jobs import jobs
from .memory import memory
from .monitoring import monitoring
from .openai_audio import openai_audio
from .openapi import openapi
from .pages import page
from .voice import voice

BLUEPRINTS = (health, jobs, memory, monitoring, openai_audio, openapi, page, voice)
