"""Speech: recordings to text and texts to audio, and the engines that do it within one budget."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Generator, Iterator, Sequence

from ..checks import Check
from ..config import Settings
from ..engine import Observer
from ..engine.budget import Budget
from ..engine.process import Engine
from ..engine.queueing import Wanted
from ..errors import LocalWhisperDisabled, Misconfigured, ModelNotFound
from . import languages, live, models
from .audio import SynthesisResult
from .live import LiveEvent, LiveInput, LiveRequest
from .routing import LocalModels, LocalTranscriber
from .synthesis import Synthesis
from .transcription import Survey, Transcription, TranscriptionRequest
from .upstream import UpstreamTranscriber

log = logging.getLogger(__name__)

WATCHED_ENDS = ("timeout", "killed", "died")
TimedWord = tuple[str, float, float]  # a word, and the seconds when it begins and ends


class Speech:
    """
    The two services and what they run on. One per worker, owned by Services, shared by its threads.

    *transcriber* is None where local Whisper is disabled and no other server was named. Nothing is started yet.
    ConfigError: the model can't fit the budget.
    """

    def __init__(self, settings: Settings, budget_mb: float, weigh_web: Callable[[], float]) -> None:
        self.settings, self.observer = settings, Observer()
        self.budget = Budget(budget_mb, settings.memory_reserve_mb, weigh_web)
        self.transcriber: LocalModels | UpstreamTranscriber | None = None
        if not settings.disable_local_whisper:
            self.transcriber = LocalModels(settings, self.budget)
        elif settings.openai_base_url:
            self.transcriber = UpstreamTranscriber(settings)
        self.synthesis = Synthesis(settings, self.budget)

    @property
    def engines(self) -> list[Engine]:
        """Each model's, the default's first, and the one that speaks."""
        return [*(one.engine for one in self.models), self.synthesis.engine]

    @property
    def models(self) -> list[LocalTranscriber]:
        """The models here, the default first; none where another server transcribes."""
        return self.transcriber.here if isinstance(self.transcriber, LocalModels) else []

    def watch(self, observer: Observer) -> None:
        """Tell *observer* of all work from now on."""
        self.observer = self.synthesis.observer = observer
        for engine in self.engines:
            engine.observer = observer
            for reason in WATCHED_ENDS:  # an increase from nothing to one is none to Prometheus
                observer.note("engine_exits_total", 0, engine.name, reason)

    def transcribe(self, request: TranscriptionRequest, wanted: Wanted = lambda: True) -> Transcription:
        """Begin to transcribe; iterate the answer, and close it."""
        if self.transcriber is None:
            raise LocalWhisperDisabled(
                "transcription is off here (DISABLE_LOCAL_WHISPER=true); set OPENAI_BASE_URL and OPENAI_API_KEY "
                "to have another server do it, or DISABLE_LOCAL_WHISPER=false"
            )
        transcription = self.transcriber.transcribe(request, wanted)
        transcription.observer = self.observer
        return transcription

    def word_times(self, spoken: SynthesisResult, text: str, path: str, wanted: Wanted) -> list[TimedWord]:
        """When each word of *text* is said in what was *spoken*: as the engine knows, else as Whisper hears *path*."""
        if spoken.words is not None:
            return align(text.split(), spoken.words, spoken.duration_seconds or 0.0)
        (voice, *_) = self.synthesis.chain.voices.named(spoken.voice, [spoken.engine])
        try:
            language = languages.whisper_code(voice.language)
        except ValueError:  # one it does not know: what it takes it for
            language = None
        heard = self.transcribe(TranscriptionRequest(path, language=language, word_timestamps=True), wanted)
        words = [(word.word, word.start, word.end) for segment in heard for word in segment.words]
        return align(text.split(), words, heard.duration_seconds)

    def resumes(self, model: str) -> bool:
        """Whether a transcription that *model* began can be gone on with here."""
        return any(one.model == model for one in self.models)

    def choose(self, request: TranscriptionRequest) -> None:
        """Raise what `LocalModels.transcribe` would, where the models here can't do what *request* asks."""
        if isinstance(self.transcriber, LocalModels):
            self.transcriber.choose(request)

    def live(self, request: LiveRequest, inputs: Iterator[LiveInput], wanted: Wanted) -> Generator[LiveEvent]:
        """What is heard in *inputs* while it is spoken; see `live.live`."""
        return live.live(self._live_models(), request, inputs, wanted)

    def choose_live(self, request: LiveRequest) -> None:
        """Raise what keeps *request* from being heard here; wakes nothing."""
        self._live_models().choose(live.as_recording(request))

    def _live_models(self) -> LocalModels:
        if not isinstance(self.transcriber, LocalModels) or models.uses_library(self.settings):
            raise Misconfigured(
                "live transcription needs a model here: DISABLE_LOCAL_WHISPER=false and WHISPER_BACKEND=builtin"
            )
        return self.transcriber

    def warm(self, request: TranscriptionRequest) -> Engine | None:
        """
        Have the engine that *request* needs started by the time it is asked, where there is room; which it is.

        None where another server transcribes. The errors of `choose`.
        """
        if not isinstance(self.transcriber, LocalModels):
            return None
        engine = self.transcriber.choose(request)[0].engine
        engine.warm()
        return engine

    def survey(self, request: TranscriptionRequest, wanted: Wanted) -> Survey | None:
        """Where the recording may be cut into parts; None where another server transcribes, which takes it whole."""
        if isinstance(self.transcriber, LocalModels):
            return self.transcriber.survey(request, wanted)
        return None

    def checks(self) -> list[Check]:
        """Whether recordings can be transcribed and texts spoken; wakes nothing."""
        synthesizers = self.synthesis.checks()
        well = [check.name for check in synthesizers if not check.reason]
        ill = "; ".join(f"{check.name} {check.reason}" for check in synthesizers if check.reason)
        detail = ", ".join(well) + (f" ({ill})" if well and ill else "")
        return [self._check_transcription(), Check("synthesis", "" if well else ill, detail=detail)]

    def _check_transcription(self) -> Check:
        if self.transcriber is None:
            return Check("transcription", detail="disabled (DISABLE_LOCAL_WHISPER=true)")
        if isinstance(self.transcriber, LocalModels):
            return self.transcriber.check()
        return Check("transcription", detail=f"{self.transcriber.model} of {self.transcriber.url.hostname}")

    def remove(self, model: str) -> None:
        """Delete a model; the errors of `LocalModels.remove`, and ModelNotFound where there are none."""
        if not isinstance(self.transcriber, LocalModels):
            raise ModelNotFound("there are no models here: another server transcribes", "model")
        self.transcriber.remove(model)

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


def align(words: Sequence[str], heard: Sequence[TimedWord], seconds: float) -> list[TimedWord]:
    """
    Each of *words* with its times, in a recording of *seconds* in which *heard* was.

    What was heard as it is written has the times it was heard at. Words between two such (numbers, signs, what was
    misheard) share the time between them by their letters.
    """
    ours, theirs = [_plain(word) for word in words], [_plain(word) for word, _, _ in heard]
    found: list[TimedWord] = []
    begin, waiting = 0.0, 0  # where the time is free from, and the first word without its own

    def fill(until: int, end: float) -> None:
        letters = sum(len(word) + 1 for word in words[waiting:until])
        at = begin
        for word in words[waiting:until]:
            then = at + max(end - begin, 0.0) * (len(word) + 1) / letters
            found.append((word, round(at, 3), round(then, 3)))
            at = then

    for block in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        for place in range(block.size):
            _, start, end = heard[block.b + place]
            fill(block.a + place, start)
            found.append((words[block.a + place], start, end))
            begin, waiting = end, block.a + place + 1
    fill(len(words), seconds)
    return found


def _plain(word: str) -> str:
    """*word* as it is compared: its letters and digits, in lower case."""
    return "".join(filter(str.isalnum, word.lower()))
