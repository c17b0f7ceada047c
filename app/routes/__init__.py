"""The doors: HTTP in, HTTP out. What a door leads to is in the room of the same name."""

from .health import health
from .memory import memory
from .monitoring import monitoring
from .openai_audio import openai_audio
from .openapi import openapi
from .page import page
from .voice import voice

BLUEPRINTS = (health, memory, monitoring, openai_audio, openapi, page, voice)
