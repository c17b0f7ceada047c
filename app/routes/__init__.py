"""The doors: HTTP in, HTTP out. What a door leads to is in the room of the same name."""

from .health import health
from .memory import memory
from .openai_audio import openai_audio
from .openapi import openapi
from .voice import voice

BLUEPRINTS = (health, memory, openai_audio, openapi, voice)
