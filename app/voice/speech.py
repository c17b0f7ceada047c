"""Speech: transcribe() and speak(), whoever does the work."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

from .. import cgroup
from ..config import ConfigError, Settings
from ..errors import LocalWhisperDisabled, ModelMissing
from . import environment, models
from .budget import Budget
from .engine import Engine, Program
from .synthesis import Synthesis
from .transcription import LocalTranscriber, Transcriber, Transcription, TranscriptionRequest

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

    def transcribe(self, request: TranscriptionRequest, wanted: Callable[[], bool]) -> Transcription:
        """Begin to transcribe; iterate the answer, and close it."""
        if self.transcriber is None:
            raise LocalWhisperDisabled(
                "transcription is off here (DISABLE_LOCAL_WHISPER=true); set OPENAI_BASE_URL and OPENAI_API_KEY "
                "to have another server do it, or DISABLE_LOCAL_WHISPER=false"
            )
        return self.transcriber.transcribe(request, wanted)

    def unload(self) -> int:
        """End every engine that no request is using; how many that were."""
        return sum([engine.stop_if_unused() for engine in self.engines])

    def close(self) -> None:
        """End every engine, last built first."""
        for engine in reversed(self.engines):
            try:
                engine.close()
            except OSError:
                log.exception("engine=%s could not be closed", engine.name)
