"""The models that transcribe here, side by side within one budget, and which of them a recording gets."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..checks import Check
from ..config import Settings
from ..engine.budget import Budget
from ..engine.launch import COMMON, PACKED, WHISPER, program, threads, uses_mkl
from ..engine.process import Engine
from ..engine.protocol import Header, Message
from ..engine.queueing import Wanted, Work
from ..errors import (
    Conflict,
    InsufficientMemory,
    ModelCannotTranslate,
    ModelMissing,
    ModelNotFound,
    ServiceError,
)
from . import models
from .transcription import Clip, Survey, Transcription, TranscriptionRequest

# Of a recording whose header does not say how long it is, as a browser's: what browsers record, 32 to 128 kbit/s.
BYTES_PER_SECOND = 8000


class LocalTranscriber:
    """Transcribes with one model, in its engine."""

    def __init__(self, engine: Engine, model: models.Model, settings: Settings) -> None:
        self.engine, self.model, self.path = engine, model.label, model.name
        self.multilingual, self._settings = model.multilingual, settings
        self.files: list[Path] = []  # of the model, once they were found
        # What computes it, "kernels", "numpy" or "ctranslate2": the engine says so when it begins.
        self.encoder = ""

    def is_here(self) -> bool:
        """Whether the model is where it was found."""
        return bool(self.files) and all(map(os.path.isfile, self.files))

    def session(
        self, request: TranscriptionRequest, work: Work, wanted: Wanted, *, hand_over: bool
    ) -> Generator[Message]:
        """What the engine finds; asked to *hand_over*, it may end with the message "handed_over" (`whisper.py`)."""
        header = {**self._header(request), "hand_over": hand_over}
        messages = self.engine.session(header, background=request.background, work=work, wanted=wanted)
        with closing(messages):
            for message in messages:
                self.encoder = message.header.get("encoder", self.encoder)
                yield message

    def survey(self, request: TranscriptionRequest, wanted: Wanted) -> Survey:
        """Look the recording over, in about a fiftieth of the time it takes to transcribe it."""
        header = self._header(request._replace(task="survey", clip=None, resume=None))
        pauses: list[Clip] = []
        end: Header = {}
        for message in self.engine.session(header, background=request.background, wanted=wanted):
            pauses += [Clip(*pause) for pause in message.header.get("pauses", ())]
            if message.header["kind"] == "end":
                end = message.header
        return Survey(end["duration"], pauses, end["language"])

    def _header(self, request: TranscriptionRequest) -> Header:
        return {
            **request._asdict(),
            "language": request.language or self._settings.whisper_language or None,
            "languages": [*request.languages],
            # Zero asks for the default: greedy, and other attempts where the text turns out doubtful.
            "temperature": request.temperature or None,
            "beam_size": request.beam_size or self._settings.whisper_beam_size,
            "max_audio_seconds": self._settings.max_audio_minutes * 60,
        }


class LocalModels:
    """
    The models of WHISPER_MODEL, the default first, each with an engine that its first recording starts.

    One per worker, owned by Speech, shared by its threads. ConfigError: as `models.choose`.
    """

    def __init__(self, settings: Settings, budget: Budget) -> None:
        self._settings, self._budget = settings, budget
        self._model_dir = Path(settings.model_dir)
        chosen = models.choose(settings, budget.limit_mb)
        # Weights are packed where MKL multiplies and all models fit the budget side by side with them.
        self._room_mb = models.room_mb(budget.limit_mb, settings.memory_reserve_mb)
        packs = uses_mkl() and sum(cost_mb + model.packed_mb for model, cost_mb in chosen) <= self._room_mb
        self._environment = PACKED if packs else WHISPER
        self.listed: list[LocalTranscriber] = []
        for model, cost_mb in chosen:
            name = f"whisper-{model.label}" if self.listed else "whisper"
            packed_mb = model.packed_mb if packs else 0
            self.listed.append(self._transcriber(model, cost_mb + packed_mb, name))
        self.model = self.listed[0].model
        self.language = settings.whisper_language or None  # of what says nothing of its own
        self._fetched: dict[str, LocalTranscriber] = {}
        self._lock = threading.Lock()  # guards the one above

    @property
    def here(self) -> list[LocalTranscriber]:
        """Those that are listed, and with ALLOW_MODEL_FETCH all that are in MODEL_DIR."""
        if not self._settings.allow_model_fetch:
            return self.listed
        with self._lock:
            known = {one.model for one in self.listed} | {*self._fetched}
            for name in {*models.installed(self._model_dir)} - known:
                alone = replace(self._settings, whisper_model=name, whisper_language="")
                ((model, cost_mb),) = models.choose(alone, math.inf)
                self._fetched[name] = self._transcriber(model, cost_mb, f"whisper-{name}")
                self._fetched[name].engine.observer = self.listed[0].engine.observer
            return [*self.listed, *self._fetched.values()]

    def remove(self, name: str) -> None:
        """Delete a model from the disk. ModelNotFound: it is not there. Conflict: it is in use."""
        if name not in (installed := models.installed(self._model_dir)):
            here = ", ".join(installed) or "none"
            raise ModelNotFound(f"no model {name!r} is on the disk; there are {here}", "model")
        with self._lock:
            one = next((each for each in [*self.listed, *self._fetched.values()] if each.model == name), None)
            if one is not None and not one.engine.stop_if_unused("unloaded") and one.engine.is_running:
                raise Conflict(f"the model {name} is in use; try again when its work is done")
            models.remove(name, self._model_dir)
            self._fetched.pop(name, None)

    def transcribe(self, request: TranscriptionRequest, wanted: Wanted) -> Transcription:
        """
        Begin, with the model that is asked for, or else the first of the list that can.

        ModelNotFound: no model has that name. ModelCannotTranslate: none knows the language. ModelMissing: the one that
        does is not on this machine. InsufficientMemory: it can never fit.
        """
        first, other = self.choose(request)
        begins_at = request.resume["seconds"] if request.resume else request.clip[0] if request.clip else 0.0
        # What the first finds, or, once that hands over, the other; which says when it hears English after all. Why in
        # this order, with the numbers: docs/decisions/0090.
        english = request._replace(language="en")
        tries = [(first, request), *([(other, request), (first, english)] if other else [])]

        def messages() -> Generator[Message]:
            for number, (transcriber, asked) in enumerate(tries, 1):
                size = os.stat(asked.path).st_size
                work = transcription.work = Work(size / BYTES_PER_SECOND, asked.patience_seconds)
                handed_over = False
                with closing(
                    transcriber.session(asked, work, wanted, hand_over=number < len(tries))
                ) as session:
                    for message in session:
                        handed_over = handed_over or message.header["kind"] == "handed_over"
                        if not handed_over:
                            yield message
                if not handed_over:
                    return

        transcription = Transcription(first.model, messages(), begins_at=begins_at)
        return transcription

    def survey(self, request: TranscriptionRequest, wanted: Wanted) -> Survey:
        """Look the recording over with the model that is asked for, or one that can tell its language."""
        first, other = self.choose(request)
        return (other or first).survey(request, wanted)

    def choose(self, request: TranscriptionRequest) -> tuple[LocalTranscriber, LocalTranscriber | None]:
        """Who transcribes *request*; and, where the first knows English only and nobody said it is, who else may."""
        if request.resume:
            return self.named(request.resume["model"]), None
        language = request.language or self._settings.whisper_language
        among = {language} if language else {*request.languages}
        english = request.task == "transcribe" and (not among or "en" in among)
        asked = [self.named(request.model)] if request.model else self.listed
        able = [one for one in asked if one.multilingual or english]
        if not able:
            wish = "translate" if request.task == "translate" else f"transcribe {', '.join(sorted(among))}"
            raise ModelCannotTranslate(
                f"the model {asked[0].model} knows English only and can't {wish}; "
                "add one without .en to WHISPER_MODEL, such as base",
                "model" if request.task == "translate" else "language" if language else "languages[]",
            )
        here = [one for one in able if one.engine.is_running or not self._problem(one)]
        if not here:
            raise self._problem(able[0]) or ModelMissing(able[0].model)
        others = [] if request.model or here[0].multilingual or among == {"en"} else here
        return here[0], next((one for one in others if one.multilingual), None)

    def named(self, name: str) -> LocalTranscriber:
        """The model a request calls *name*; ModelNotFound says which there are."""
        here = self.here
        for one in here:
            if name in (one.model, one.path):
                return one
        known = ", ".join(one.model for one in here)
        raise ModelNotFound(f"the model {name!r} does not exist here; there are {known}", "model")

    def check(self) -> Check:
        """Whether the default is here, and which others are."""
        problems = {one.model: self._problem(one) for one in self.listed}
        computed = {one.model: f" (encoder: {one.encoder})" if one.encoder else "" for one in self.listed}
        well = ", ".join(name + computed[name] for name, problem in problems.items() if not problem)
        ill = "; ".join(problem.message for problem in problems.values() if problem)
        if problems[self.model] or not well:
            return Check("transcription", f"{ill}; {well} transcribes instead" if well else ill, self.model)
        return Check("transcription", detail=f"{well} ({ill})" if ill else well)

    def _problem(self, one: LocalTranscriber) -> ServiceError | None:
        """Why the model can't be used, and what to do; None where it can."""
        if not one.is_here():
            path, remedy = models.find(one.path, self._model_dir), models.how_to_fetch(one.model)
            if path is None:
                return ModelMissing(f"the model {one.model} is not in {self._model_dir}; {remedy}")
            one.files = models.files(path, self._settings)
            if not one.is_here():
                missing = f"{models.WEIGHTS}, which faster-whisper reads, is not in {path}"
                return ModelMissing(f"{missing}; {remedy}")
        if (cost_mb := one.engine.program.cost_mb) > self._room_mb:
            share = models.share_text(self._settings, self._budget.limit_mb)
            return InsufficientMemory(f"the engine of {one.model} needs {cost_mb:.0f} MB; {share}")
        return None

    def _transcriber(self, model: models.Model, cost_mb: float, engine_name: str) -> LocalTranscriber:
        settings = self._settings
        place = models.find(model.name, self._model_dir) or self._model_dir / model.name
        count = threads(settings)
        options = {
            "model": model.label,
            "model_dir": str(place.absolute()),  # the engine's process has a working directory of its own
            "threads": count,
            "encoder": settings.whisper_encoder,
        }
        environment = self._environment
        if models.uses_library(settings):
            options |= {
                "backend": settings.whisper_backend,
                "device": settings.whisper_device,
                "compute_type": settings.whisper_compute_type,
            }
            environment = COMMON
        seats = settings.engine_seats + 1
        run = program("whisper", options, environment, cost_mb=cost_mb, seats=seats, threads=count)
        engine = Engine(engine_name, run._replace(model=model.label), self._budget, settings)
        return LocalTranscriber(engine, model, settings)
