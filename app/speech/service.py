"""Speech: recordings to text and texts to audio, and the engines that do it within one budget."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .. import cgroup
from ..checks import Check
from ..config import ConfigError, Settings
from ..engine.budget import Budget
from ..engine.events import Observer
from ..engine.launch import WHISPER, program
from ..engine.process import Engine
from ..errors import LocalWhisperDisabled
from . import models
from .synthesis import SpeakRequest, Spoken, Synthesis
from .transcription import LocalTranscriber, Survey, Transcriber, Transcription, TranscriptionRequest

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
            from .upstream import UpstreamTranscriber  # 6 MB of http.client

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
        transcription = self.transcriber.transcribe(request, wanted)
        transcription.observer = self.observer
        return transcription

    def survey(self, request: TranscriptionRequest, wanted: Callable[[], bool]) -> Survey | None:
        """Where the recording may be cut into parts; None where another server transcribes, which takes it whole."""
        if isinstance(self.transcriber, LocalTranscriber):
            return self.transcriber.survey(request, wanted)
        return None

    def speak(self, request: SpeakRequest, wanted: Callable[[], bool]) -> Spoken:
        """Begin to speak; the answer's audio comes while it is made. Close it."""
        return self.synthesis.speak(request, wanted)

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
        reason = ""
        if not self.settings.disable_local_whisper:
            model_dir = Path(self.settings.model_dir)
            if models.find(self.transcriber.model, model_dir) is None:
                reason = (
                    f"the model {self.transcriber.model} is not in {model_dir}; run `make run` to fetch it"
                )
        return Check("transcription", reason, self.transcriber.model)

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
    model_dir = Path(settings.model_dir)
    name = settings.whisper_model
    if name == models.AUTO:
        name = _largest_that_fits(model_dir, budget)
    model = models.describe(name, model_dir)
    if model is None:
        raise ConfigError(
            f"WHISPER_MODEL: no model is called {name!r}; known are {', '.join(models.CATALOGUE)}"
        )
    cost_mb = round(model.cost_mb + models.SESSION_MB * settings.engine_seats)  # one more is a job's
    # Held against what the web server will weigh, not what it weighs while it starts: else the boot succeeds
    # and every request is refused.
    room_mb = min(budget.room_alone_mb(), models.room_mb(budget.limit_mb, budget.reserve_mb))
    if cost_mb > room_mb:
        raise ConfigError(
            f"WHISPER_MODEL: the engine of {name} needs {cost_mb} MB, and of the budget (MEMORY_BUDGET_MB) of "
            f"{budget.limit_mb:.0f} MB there are {room_mb:.0f} MB left beside the web server and a reserve of "
            f"{budget.reserve_mb:.0f} MB; models that fit: "
            f"{', '.join(models.that_fit(room_mb)) or 'none (DISABLE_LOCAL_WHISPER=true runs without)'}"
        )
    options = {
        "model": name,
        "model_dir": str(models.find(name, model_dir) or model_dir / name),
        "threads": settings.stt_threads or cgroup.processors(),
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
        name,
        beam_size=settings.whisper_beam_size,
        language=settings.whisper_language,
        max_audio_seconds=settings.max_audio_minutes * 60,
    )


def _largest_that_fits(model_dir: Path, budget: Budget) -> str:
    """The largest model on this machine whose engine fits; the smallest known one where there is none."""
    here = models.installed(model_dir)
    fitting = models.that_fit(models.room_mb(budget.limit_mb, budget.reserve_mb))
    return next((name for name in fitting if name in here), "tiny.en")
