"""Speech: the model and its engine, each synthesizer, and a sentence that is spoken and transcribed."""

import ctypes
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from ... import memory
from ...engine_process.tts.gtts import ENDPOINT
from ...errors import ServiceError
from ...services import Services
from ...speech import models
from ...speech.chain import SpeakRequest
from ...speech.transcription import TranscriptionRequest
from ...speech.voices import find_espeak
from ...synthesizers import SYNTHESIZERS
from .. import engines
from .machine import Finding, error, ok, warning

REACH_SECONDS = 3.0
SENTENCE = "The meeting starts at ten. Please bring the report with you."
UNDERSTOOD = 0.5  # of the words: espeak-ng is hard to understand for a small model


class Damaged(Exception):
    """A file of a model is not what it should be."""


def reach_problem(url: str) -> str:
    """Why nothing answers at *url*; empty when something does, whatever it says. Proxies are used as set."""
    import requests

    try:
        with requests.head(url, timeout=REACH_SECONDS, allow_redirects=False):
            return ""
    except requests.Timeout:
        return f"does not answer within {REACH_SECONDS:.0f} s"
    except requests.exceptions.SSLError:
        return "has a certificate that is not trusted"
    except requests.RequestException as problem:
        return f"can't be reached ({type(problem).__name__})"


def model(services: Services) -> Iterator[Finding]:
    """The model's files, or the server that transcribes instead."""
    settings, model_dir = services.settings, Path(services.settings.model_dir)
    url = settings.openai_base_url
    if services.speech.models:
        # With "auto" another may be chosen tomorrow: all are looked at.
        auto = models.AUTO in models.names(settings)
        listed = [one.path for one in services.speech.models]
        for name in dict.fromkeys([*listed, *(models.installed(model_dir) if auto else [])]):
            found = _files(name, models.find(name, model_dir), model_dir)
            yield found if name == listed[0] or found.status == "ok" else found._replace(status="warning")
    elif not url:
        yield warning(
            "model",
            "transcription is off (DISABLE_LOCAL_WHISPER=true)",
            "set OPENAI_BASE_URL to have another server do it, or DISABLE_LOCAL_WHISPER=false",
        )
    elif problem := reach_problem(url):
        yield error("model", f"OPENAI_BASE_URL {problem}", "see that the server runs and is let through")
    else:
        key = "" if settings.openai_api_key else "; OPENAI_API_KEY is not set"
        yield ok("model", f"{settings.openai_model} of {url}, which answers{key}")


def _files(name: str, place: Path | None, model_dir: Path) -> Finding:
    if place is None:
        return error("model", f"{name} is not in {model_dir}", models.how_to_fetch(name))
    again = f"python -m app models remove {name} && python -m app models fetch {name}"
    remedy = again if name in models.CATALOGUE else "bring its files again"
    try:
        check_files(place)
    except (Damaged, OSError, ValueError) as damage:
        return error("model", f"{name} in {place} is damaged: {damage}", remedy)
    if not models.is_converted(place):
        convert = f"python -m app models fetch {name}" if name in models.CATALOGUE else remedy
        return warning("model", f"{name} in {place} is not converted: it takes more memory", convert)
    return ok("model", f"{name} in {place} is whole")


def check_files(place: Path) -> None:
    """Damaged, or convert's NotAModel, when the files do not belong together."""
    for name in (models.CONFIG, "tokenizer.json"):
        try:
            json.loads((place / name).read_bytes())
        except FileNotFoundError:
            raise Damaged(f"{name} is missing") from None
        except ValueError:
            raise Damaged(f"{name} is not JSON") from None
    vocabulary = place / "vocabulary.txt"
    if not vocabulary.is_file():
        raise Damaged("vocabulary.txt is missing")
    weights = models.DECODER if models.is_converted(place) else models.WEIGHTS
    with (place / weights).open("rb") as file:
        tokens = _walk(file, weights)
    with vocabulary.open("rb") as file:
        lines = sum(1 for _ in file)
    if lines != tokens:
        raise Damaged(f"vocabulary.txt has {lines} tokens, {weights} has {tokens}")
    if models.is_converted(place):
        from ...engine_process.stt.convert import read_index

        with (place / models.ENCODER).open("rb") as file:
            read_index(file)


def _walk(file: BinaryIO, name: str) -> int:
    """How many tokens the weights know; every entry must fit the length of the file *name*."""
    from ...engine_process.stt import convert

    _, _, entries = convert.read_entries(file)
    (aliases,) = convert.unpack(file, "<I")
    for _ in range(2 * aliases):
        convert.read_string(file)
    if file.read(1):
        raise Damaged(f"{name} goes on after its end")
    embeddings = entries.get("decoder/embeddings/weight")
    return embeddings.shape[0] if embeddings else 0


def budget(services: Services) -> Iterator[Finding]:
    """What the engines cost at the most, and whether the machine has the memory now."""
    costs = {engine.name: engine.program.cost_mb for engine in services.speech.engines}
    workers = services.settings.web_concurrency
    each = f" for each of {workers} workers" if workers > 1 else ""
    shown = ", ".join(f"{name} {cost:.0f} MB" for name, cost in costs.items())
    yield ok("budget", f"{shown} at the most, of {services.speech.budget.limit_mb:.0f} MB{each}")
    available_mb = memory.system().available_mb
    if available_mb < max(costs.values()):
        yield warning(
            "budget",
            f"the machine has {available_mb:.0f} MB left now; the engine needs {max(costs.values()):.0f}",
            "end other programs, or choose a smaller WHISPER_MODEL",
        )


def synthesizers(services: Services) -> Iterator[Finding]:
    """One finding for each synthesizer that TTS_ENGINE lets speak, an error where none of them can."""
    engine = services.settings.tts_engine
    names = (engine,) if engine in SYNTHESIZERS else services.speech.synthesis.chain.voices.engines
    problems = {check.name: check.reason for check in services.speech.synthesis.checks()}
    url = services.settings.gtts_url or ENDPOINT
    if "gtts" in names and not problems["gtts"] and (problem := reach_problem(url)):
        problems["gtts"] = f"{url.split('/')[2]} {problem}"
    problems["espeak"] = problems["espeak"] or _library_problem()
    able = [name for name in names if not problems[name]]
    for name in names:
        spec = SYNTHESIZERS[name]
        if name in able:
            library = next(files.library for files in find_espeak()) if name == "espeak" else ""
            yield ok(name, library or spec.summary)
        elif able:
            yield warning(name, f"{problems[name]}; {' and '.join(able)} can speak", spec.remedy)
        else:
            yield error(name, problems[name], spec.remedy)
    if not able:
        others = "" if engine == "auto" else "; with TTS_ENGINE=auto another synthesizer speaks instead"
        yield error("synthesis", "nobody can speak", f"see the lines above{others}")


def _library_problem() -> str:
    """Why no library of espeak-ng can be loaded; empty when one can."""
    problems = []
    for files in find_espeak():
        try:
            ctypes.CDLL(files.library)
            return ""
        except OSError as problem:
            problems.append(str(problem))
    return "; ".join(problems)


def trial(services: Services) -> Iterator[Finding]:
    """Whether the words that are spoken come back as text."""
    from ...speech.transcription import join_text

    began = time.monotonic()
    try:
        with engines.speech(services.settings) as speech, tempfile.NamedTemporaryFile(suffix=".wav") as file:
            request = SpeakRequest(text=SENTENCE, format="wav", stream=False)
            with closing(speech.synthesis.speak(request)) as spoken:
                file.writelines(spoken.audio)
                file.flush()
            if speech.transcriber is None:
                yield ok("trial", f"{spoken.voice} spoke; transcription is off")
                return
            recording = TranscriptionRequest(path=file.name, language="en")
            with closing(speech.transcribe(recording)) as transcription:
                text = join_text(transcription)
    except ServiceError as problem:
        yield error("trial", str(problem), "the lines above name the cause")
        return
    if len(words(SENTENCE) & words(text)) < UNDERSTOOD * len(words(SENTENCE)):
        said = f"{spoken.voice} said {SENTENCE!r} and {text!r} was heard"
        yield error("trial", said, "fetch the model again")
    else:
        encoder = next((f" (encoder: {one.encoder})" for one in speech.models if one.encoder), "")
        seconds = time.monotonic() - began
        yield ok("trial", f"{spoken.voice} spoke and was understood{encoder}, {seconds:.1f} s")


def words(text: str) -> set[str]:
    """The words of *text*, without case and punctuation."""
    return set("".join(letter if letter.isalpha() else " " for letter in text.lower()).split())
