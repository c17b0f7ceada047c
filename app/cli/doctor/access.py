"""Who is let in."""

import os
from collections.abc import Iterator

from ...config import Settings
from .finding import Finding, warning, well

SHORTEST_KEY = 16  # characters; fewer can be tried out
HOSTS = {"RENDER": "Render", "DYNO": "Heroku"}  # what they set in the environment
REMEDY = 'set API_KEYS, such as to what `python -c "import secrets; print(secrets.token_urlsafe())"` prints'


def keys(settings: Settings) -> Iterator[Finding]:
    """API_KEYS: missing where others can reach the service, or too short."""
    given = [key.strip() for key in settings.api_keys.split(",") if key.strip()]
    host = next((name for variable, name in HOSTS.items() if os.environ.get(variable)), "")
    if not given:
        if settings.environment == "production" or host:
            where = f"on {host}" if host else "in production"
            yield warning("access", f"{where}, and API_KEYS is not set: anybody may use this service", REMEDY)
        else:
            yield well("access", "open to everybody who reaches it (API_KEYS is not set)")
        return
    if any(len(key) < SHORTEST_KEY and not key.startswith("sha256:") for key in given):
        yield warning("access", f"an API key is shorter than {SHORTEST_KEY} characters", REMEDY)
    else:
        yield well("access", f"{len(given)} API key{'s' if len(given) > 1 else ''}")
