"""Speech: recordings to text and texts to audio, and the engines that do it within one budget."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .. import cgroup
from ..checks import Check
from ..config import Settings
from ..engine import Observer
from ..engine.budget import Budget
from ..engine.launch import WHISPER, program
from ..engine.process import Engine
from ..errors import LocalWhisperDisabled, ModelMissing
from . import models
from .synthesis import Synthesis
from .transcription import LocalTranscriber, Survey, Transcriber, Transcription, TranscriptionRequest
from .upstream import UpstreamTranscriber

log = logging.getLogger(__name__)


@dataclass
class Speech:
    """
    The two services and what they run on. One per worker, owned by Services, shared by its threads.

    *transcriber* is None where local Whisper is disabled and no other server was named.
    """

    settings: Settings
    budget: Budget
    transcriber: Transcriber | None
    synthesis: Synthesis
    engines: list[Engine]
    observer: Observer = field(default_factory=Observer)

    @classmethod
    def build(cls, settings: Settings, budget_mb: float, weigh_web: Callable[[], float]) -> Speech:
        """Everything, from the settings; nothing is started yet. ConfigError: the model can't fit the budget."""
        budget = Budget(budget_mb, settings.memory_reserve_mb, weigh_web)
        engines = []
        transcriber: Transcriber | None = None
        if not settings.disable_local_whisper:
            transcriber = _local_transcriber(settings, budget)
            engines.append(transcriber.engine)
        elif settings.openai_base_url:
            transcriber = UpstreamTranscriber(
                settings.openai_base_url,
                settings.openai_api_key,
                settings.openai_model,
                timeout_seconds=settings.openai_timeout_seconds,
            )
        synthesis = Synthesis.build(settings, budget)
        return cls(settings, budget, transcriber, synthesis, [*engines, synthesis.engine])

    def watch(self, observer: Observer) -> None:
        """Tell *observer* of all work from now on."""
        self.observer = self.synthesis.observer = observer
        for engine in self.engines:
            engine.observer = observer

    def transcribe(self, request: TranscriptionRequest, wanted: Callable[[], bool]) -> Transcription:
        """Begin to transcribe; iterate the answer, and close it."""
        if self.transcriber is None:
            raise LocalWhisperDisabled(
                "transcription is off here (DISABLE_LOCAL_WHISPER=true); set OPENAI_BASE_URL and OPENAI_API_KEY "
                "to have another server do it, or DISABLE_LOCAL_WHISPER=false"
            )
        is_running = isinstance(self.transcriber, LocalTranscriber) and self.transcriber.engine.is_running
        if not is_running and (reason := self._missing_model()):
            raise ModelMissing(reason)
        transcription = self.transcriber.transcribe(request, wanted)
        transcription.observer = self.observer
        return transcription

    def resumes(self, model: str) -> bool:
        """Whether a transcription that *model* began can be gone on with here."""
        return isinstance(self.transcriber, LocalTranscriber) and self.transcriber.model == model

    def survey(self, request: TranscriptionRequest, wanted: Callable[[], bool]) -> Survey | None:
        """Where the recording may be cut into parts; None where another server transcribes, which takes it whole."""
        if isinstance(self.transcriber, LocalTranscriber):
            return self.transcriber.survey(request, wanted)
        return None

    def checks(self) -> list[Check]:
        """Whether recordings can be transcribed and texts spoken; wakes nothing."""
        synthesizers = self.synthesis.checks()
        well = [check.name for check in synthesizers if not check.reason]
        ill = "; ".join(f"{check.name} {check.reason}" for check in synthesizers if check.reason)
        return [
            self._check_transcription(),
            Check(
                "synthesis",
                reason="" if well else ill,
                detail=", ".join(well) + (f" ({ill})" if well and ill else ""),
            ),
        ]

    def _check_transcription(self) -> Check:
        if self.transcriber is None:
            return Check("transcription", detail="disabled (DISABLE_LOCAL_WHISPER=true)")
        is_local = isinstance(self.transcriber, LocalTranscriber)
        where = "" if is_local else f" of {urlsplit(self.settings.openai_base_url).hostname}"
        return Check("transcription", self._missing_model(), self.transcriber.model + where)

    def _missing_model(self) -> str:
        """That the model is not here, and what to do; empty where it is, or where another server transcribes."""
        model_dir = Path(self.settings.model_dir)
        if not isinstance(self.transcriber, LocalTranscriber) or models.find(
            self.transcriber.model, model_dir
        ):
            return ""
        name = self.transcriber.model
        return f"the model {name} is not in {model_dir}; {models.how_to_fetch(name)}"

    def unload(self) -> int:
        """End every engine that no request is using; how many that were."""
        return sum([engine.stop_if_unused("unloaded") for engine in self.engines])

    def close(self) -> None:
        """End every engine, last built first."""
        for engine in reversed(self.engines):
            try:
                engine.close()
            except OSError:
                log.exception("engine=%s could not be closed", engine.name)


def _local_transcriber(settings: Settings, budget: Budget) -> LocalTranscriber:
    """The whisper engine with the model that is set; ConfigError when its process could never fit."""
    model, cost_mb = models.choose(settings, budget.limit_mb)
    model_dir = Path(settings.model_dir)
    options = {
        "model": model.name,
        # Absolute: the engine's process has a working directory of its own.
        "model_dir": str((models.find(model.name, model_dir) or model_dir / model.name).absolute()),
        "threads": settings.stt_threads or cgroup.processors(),
        "encoder": settings.whisper_encoder,
    }
    engine = Engine(
        "whisper",
        program("whisper", options, WHISPER, cost_mb=cost_mb, seats=settings.engine_seats + 1),
        budget,
        seats=settings.engine_seats,
        timeout_seconds=settings.engine_timeout_seconds,
        idle_after_seconds=settings.engine_idle_seconds,
    )
    return LocalTranscriber(
        engine,
        model.name,
        beam_size=settings.whisper_beam_size,
        language=settings.whisper_language,
        max_audio_seconds=settings.max_audio_minutes * 60,
    )
