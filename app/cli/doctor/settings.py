"""The settings: can they be read, where are they from, is one misspelt."""

import dataclasses
import difflib
import os
from collections.abc import Iterator

from ...config import ConfigError, Settings, env_file
from ...startup import problems
from ..config import effective
from .finding import Finding, error, warning, well

NAME = "settings"
REMEDY = "set it right or leave it out; .env.example says what each accepts"
ALIKE = 0.85  # of difflib's ratio: WHISPER_MODLE for WHISPER_MODEL, not WHISPER_BEAM for it


def examined() -> tuple[list[Finding], Settings | None]:
    """What is to be said of the settings, and the settings themselves where they can be read."""
    try:
        settings = Settings.from_env()
    except ConfigError as problem:
        return [*(error(NAME, sentence, REMEDY) for sentence in problem.sentences), *misspelt()], None
    if wrong := [error(name, sentence, REMEDY) for name, sentence in problems(settings)]:
        return [*wrong, *misspelt()], None
    changed = [f"{name} ({source})" for name, _, source in effective(settings) if source != "default"]
    return [well(NAME, f"set: {', '.join(changed)}" if changed else "all defaults"), *misspelt()], settings


def misspelt() -> Iterator[Finding]:
    """Names that nothing reads: any in `.env`, and in the environment those that look like one of ours."""
    known = [field.name.upper() for field in dataclasses.fields(Settings)]
    in_env_file = env_file()
    for name in sorted({*in_env_file, *os.environ} - set(known)):
        close = difflib.get_close_matches(name, known, 1, ALIKE) if "_" in name or name in in_env_file else []
        if close:
            yield warning(NAME, f"{name} is read by nothing", f"did you mean {close[0]}?")
        elif name in in_env_file:
            yield warning(NAME, f"{name} in .env is no setting of this service", "see .env.example")
