"""What the log says when the service starts: the old deployment's lines, exactly."""

import logging

from .config import Settings

log = logging.getLogger("app")


def announce(settings: Settings) -> None:
    """Log the start-up lines that apply."""
    log.info("💡 Memory optimizer disabled - using Python's built-in garbage collection")
    if settings.disable_local_whisper:
        log.info("🚫 Local Whisper disabled via environment variable (memory conservation)")
    log.info("🎯 Memory-optimized mode active")
