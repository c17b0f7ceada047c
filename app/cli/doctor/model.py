"""Speech to text: is the model here and whole, and does its engine fit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ... import memory
from ...config import ConfigError, Settings
from ...engine.budget import budget_mb
from ...speech import models
from ...speech.service import Speech
from .finding import Finding, error, warning, well
from .reach import reachable

NAME = "model"


def transcription(settings: Settings) -> Iterator[Finding]:
    """The model's files, or the server that transcribes instead."""
    if settings.disable_local_whisper:
        yield from _elsewhere(settings)
        return
    model_dir = Path(settings.model_dir)
    name = settings.whisper_model
    if name == models.AUTO:
        here = models.installed(model_dir)
        if not here:
            yield error(NAME, f"no model is in {model_dir}", "python -m app models fetch")
        for each in here:
            yield from _examined(each, model_dir)
        return
    if models.find(name, model_dir) is None:
        if name in models.CATALOGUE:
            yield error(NAME, f"{name} is not in {model_dir}", f"python -m app models fetch {name}")
        return  # a name nobody knows is said where the engine is fitted
    yield from _examined(name, model_dir)


def budget(settings: Settings) -> Iterator[Finding]:
    """Whether the engine fits, as the service finds out when it starts, and whether the machine has the memory now."""
    share_mb = budget_mb(settings) / settings.web_concurrency
    try:
        speech = Speech.build(settings, share_mb, lambda: float(models.WEB_MB))
    except ConfigError as problem:
        yield error(
            "budget", str(problem), "set what the message names, or WEB_CONCURRENCY=1 where it is more"
        )
        return
    costs = {engine.name: engine.program.cost_mb for engine in speech.engines}
    speech.close()
    shown = ", ".join(f"{name} {cost:.0f} MB" for name, cost in costs.items())
    workers = f" for each of {settings.web_concurrency} workers" if settings.web_concurrency > 1 else ""
    yield well("budget", f"{shown} at the most, of {share_mb:.0f} MB{workers}")
    available_mb = memory.system().available_mb
    if available_mb < max(costs.values()):
        yield warning(
            "budget",
            f"the machine has {available_mb:.0f} MB left now; the engine needs {max(costs.values()):.0f}",
            "end other programs, or choose a smaller WHISPER_MODEL",
        )


def _elsewhere(settings: Settings) -> Iterator[Finding]:
    if not settings.openai_base_url:
        yield warning(
            NAME,
            "transcription is off (DISABLE_LOCAL_WHISPER=true)",
            "set OPENAI_BASE_URL to have another server do it, or DISABLE_LOCAL_WHISPER=false",
        )
        return
    if problem := reachable(settings.openai_base_url):
        yield error(NAME, f"OPENAI_BASE_URL {problem}", "see that the server runs and is let through")
    else:
        key = "" if settings.openai_api_key else "; OPENAI_API_KEY is not set"
        yield well(NAME, f"{settings.openai_model} of {settings.openai_base_url}, which answers{key}")


def _examined(name: str, model_dir: Path) -> Iterator[Finding]:
    place = models.find(name, model_dir)
    if place is None:
        return
    remedy = (
        f"python -m app models remove {name} && python -m app models fetch {name}"
        if name in models.CATALOGUE
        else "bring its files again"
    )
    try:
        converted = whole(place)
    except (Damaged, OSError, ValueError) as damage:
        yield error(NAME, f"{name} in {place} is damaged: {damage}", remedy)
        return
    if converted:
        yield well(NAME, f"{name} in {place} is whole")
    else:
        yield warning(NAME, f"{name} in {place} is not saved as int8: loading it takes more memory", remedy)


class Damaged(Exception):
    """A file of a model is not what it should be."""


def whole(place: Path) -> bool:
    """Whether the weights are int8; Damaged, or quantize's NotAModel, when the files do not belong together."""
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
    with (place / models.WEIGHTS).open("rb") as file:
        tokens, int8 = _walked(file)
    with vocabulary.open("rb") as file:
        lines = sum(1 for _ in file)
    if lines != tokens:
        raise Damaged(f"vocabulary.txt has {lines} tokens, {models.WEIGHTS} has {tokens}")
    return int8


def _walked(file: BinaryIO) -> tuple[int, bool]:
    """How many tokens the weights know, and whether they are int8; every entry must fit the file's length."""
    from ...engine_process.stt import quantize

    _, _, _, count = quantize.read_head(file)
    tokens, int8 = 0, False
    for variable in quantize.variables(file, count):
        if variable.name == "decoder/embeddings/weight":
            tokens, int8 = variable.shape[0], variable.kind == quantize.INT8
        file.seek(variable.size_bytes - 1, 1)
        quantize.read_whole(file, 1)
    (aliases,) = quantize.unpack(file, "<I")
    for _ in range(2 * aliases):
        quantize.read_string(file)
    if file.read(1):
        raise Damaged(f"{models.WEIGHTS} goes on after its end")
    return tokens, int8
