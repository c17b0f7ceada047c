"""Text to speech: each synthesizer, and whether any of those that are asked can speak."""

import ctypes
from collections.abc import Iterator
from dataclasses import replace

from ...config import Settings
from ...engine.budget import budget_mb
from ...engine_process.tts.gtts import ENDPOINT
from ...speech import models
from ...speech.chain import ENGINES
from ...speech.service import Speech
from ...speech.voices import find_espeak
from .finding import Finding, error, warning, well
from .reach import reachable

REMEDIES = {
    "gtts": "let this machine reach it, or set TTS_ENGINE=neural or espeak to have texts spoken offline",
    "neural": "pip install -r requirements.txt, or raise MEMORY_BUDGET_MB where it does not fit",
    "espeak": "apt install espeak-ng, or pip install -r requirements.txt, which brings espeakng-loader",
}


def synthesizers(settings: Settings) -> Iterator[Finding]:
    """One finding for each that is asked, an error where none of them can speak."""
    asked = (settings.tts_engine,) if settings.tts_engine in ENGINES else ENGINES
    problems = {name: problem for name, problem in _problems(settings).items() if name in asked}
    able = [name for name in asked if not problems[name]]
    for name in asked:
        if not problems[name]:
            yield well(name, _detail(name))
        elif able:
            yield warning(name, f"{problems[name]}; {' and '.join(able)} can speak", REMEDIES[name])
        else:
            yield error(name, problems[name], REMEDIES[name])
    if not able:
        others = "" if settings.tts_engine == "auto" else "; TTS_ENGINE=auto lets others stand in"
        yield error("synthesis", "nobody can speak", f"see the lines above{others}")


def _problems(settings: Settings) -> dict[str, str]:
    """Each synthesizer and what is wrong with it: as the service sees it, then tried."""
    speech = Speech.build(
        replace(settings, disable_local_whisper=True, openai_base_url="", tts_engine="auto"),
        budget_mb(settings) / settings.web_concurrency,
        lambda: float(models.WEB_MB),
    )
    found = {check.name: check.reason for check in speech.synthesis.checks()}
    speech.close()
    if not found["gtts"]:
        url = settings.gtts_url or ENDPOINT
        if problem := reachable(url):
            found["gtts"] = f"{url.split('/')[2]} {problem}"
    if not found["espeak"]:
        found["espeak"] = _library_problem()
    return found


def _library_problem() -> str:
    """Why no library of espeak-ng can be loaded; empty when one can."""
    problems = []
    for files in find_espeak():
        try:
            ctypes.CDLL(files.library)
        except OSError as problem:
            problems.append(str(problem))
        else:
            return ""
    return "; ".join(problems)


def _detail(name: str) -> str:
    if name == "espeak":
        return next(files.library for files in find_espeak())
    return {"gtts": "Google Translate's voice answers", "neural": "offline, English"}[name]
