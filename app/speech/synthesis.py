"""Text to audio: one synthesizer after the other is asked until one speaks, and what it says is kept."""

import hashlib
import itertools
import json
import logging
import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..checks import Check
from ..config import Settings
from ..engine import Observer
from ..engine.budget import Budget
from ..engine.launch import COMMON, program, threads
from ..engine.process import Engine
from ..engine.protocol import Header
from ..engine.queueing import Wanted
from ..errors import (
    ClientGone,
    InsufficientMemory,
    InvalidRequest,
    QueueFull,
    ServiceError,
    SynthesisFailed,
    SynthesisUnavailable,
)
from ..synthesizers import SYNTHESIZERS
from . import languages, models
from .audio import AudioInfo, Cache, CacheEntry, CacheWriter, SynthesisResult, chunks
from .chain import ONLINE, Attempt, Breaker, Chain, SpeakRequest
from .formats import AUDIO
from .voices import Voice, Voices

log = logging.getLogger(__name__)

NETWORK_SECONDS = 8.0  # until one answer of Google's is given up; they usually take 0.3
STAND_IN_SECONDS = 600.0  # how long a cached answer may stand in for a better engine that failed
CACHE_VERSION = 4  # part of every key: raise it when the engines make something else of the same request


class Synthesis:
    """
    Turns texts into audio. Each worker has one; Speech owns it, and all threads share it.

    Before the first byte a failing synthesizer is replaced by the next; afterwards its error ends the audio.
    """

    def __init__(self, settings: Settings, budget: Budget) -> None:
        voices = Voices(settings)
        self.chain = Chain(settings, voices)
        self.cache = Cache(Path(settings.tts_cache_dir), settings.tts_cache_mb << 20)
        self.breakers, self.observer = {name: Breaker() for name in ONLINE}, Observer()
        self._budget, self._timeout = budget, settings.tts_timeout_seconds
        count = threads(settings)
        options: Header = {
            "gtts": {"url": settings.gtts_url},
            "kokoro": {
                "directory": str((voices.kokoro or Path()).absolute()),
                "espeak": voices.espeak,
                "threads": count,
            },
            "neural": {"allow_download": settings.neural_voice_download},
            "espeak": {"candidates": voices.espeak},
        }
        largest_mb = max(SYNTHESIZERS[name].memory_mb for name in voices.engines)
        seats = settings.engine_seats
        run = program("speech", options, COMMON, cost_mb=largest_mb, seats=seats, threads=count)
        self.engine = Engine("speech", run, budget, settings)

    def speak(self, request: SpeakRequest, wanted: Wanted = lambda: True) -> SynthesisResult:
        """
        Begin to speak; *wanted* is asked now and then.

        Raises InvalidRequest and its kin, QueueFull, ClientGone, and SynthesisUnavailable with every reason.
        """

        def cached(attempt: Attempt) -> CacheEntry | None:
            return None if request.timestamps else self.cache.find(cache_key(attempt, request))

        candidates = self.chain.attempts(request)
        attempts = [candidate for candidate in candidates if candidate.able]
        for number, attempt in enumerate(attempts):
            entry = cached(attempt)
            if entry is None:
                continue
            # What another than the first choice said counts only while it stands in for it.
            if number == 0 or entry.info.stand_in_until:
                self.observer.note("speech_cache_requests_total", 1, "hit")
                before = [f"{better.engine}: failed lately" for better in attempts[:number]]
                return cached_result(entry, attempt, request, before)
            entry.file.close()
        if self.cache.limit_bytes:
            self.observer.note("speech_cache_requests_total", 1, "miss")
        # A job's time is limited where it is run; that it waits for its turn is no reason for another voice.
        deadline = math.inf if request.background else time.monotonic() + self._timeout
        reasons: list[str] = []
        for number, attempt in enumerate(attempts, 1):
            left = deadline - time.monotonic()
            # Half of what is left, so that the next has as much; the last one takes it all.
            seconds = left if number == len(attempts) else left / 2
            if number > 1 and (entry := cached(attempt)) is not None:
                return cached_result(entry, attempt, request, reasons)
            try:
                with self._guarded(attempt.engine):
                    return self._begin(attempt, request, wanted, seconds=seconds, before=reasons)
            except (InvalidRequest, QueueFull):
                raise  # the request, or the seats, are the same for all of them
            except ServiceError as error:
                no_room = isinstance(error, InsufficientMemory) and request.background
                if no_room and SYNTHESIZERS[attempt.engine].memory_mb <= self._budget.max_single_mb():
                    raise  # there will be room: a job can wait for it
                log.warning("synthesizer=%s failed: %s: %s", attempt.engine, error.code, error.message)
                reasons.append(f"{attempt.engine}: {error.message}")
        for unable in candidates[len(attempts) :]:
            reasons.append(f"{unable.engine}: can't say {', '.join(unable.unreadable)} letters")
        raise SynthesisUnavailable("nobody could speak: " + "; ".join(reasons))

    def etag(self, request: SpeakRequest, known: str) -> str | None:
        """The tag in *known* (an `If-None-Match`) that is still right for *request*; None: speak."""
        tags = {tag.strip().removeprefix("W/").strip('"') for tag in known.split(",")}
        keys = (cache_key(attempt, request) for attempt in self.chain.attempts(request))
        return next((key for key in keys if key in tags), None)

    def voices(self, language: str | None = None) -> list[Voice]:
        """Every voice a request may name; with *language* those that speak it. Wakes nothing."""
        try:
            return [
                voice
                for voice in self.chain.voices.all
                if voice.engine in self.chain.engines
                and (language is None or languages.same(voice.language, language))
            ]
        except ValueError as error:
            raise InvalidRequest(f"language: {error}", "language") from None

    def checks(self) -> list[Check]:
        """Each synthesizer that could be asked, and what is wrong with it; wakes nothing."""
        found = []
        room_mb = models.room_mb(self._budget.limit_mb, self._budget.reserve_mb)
        for name in self.chain.engines:
            problem = "" if self.chain.voices.installed(name) else "is not installed"
            cost_mb = SYNTHESIZERS[name].memory_mb
            if name in self.breakers and (seconds := self.breakers[name].retry_in_seconds):
                problem = f"failed lately; tried again in {seconds:.0f} s"
            elif not problem and cost_mb > room_mb:
                problem = f"needs {cost_mb:.0f} MB, which the budget never has; raise MEMORY_BUDGET_MB"
            found.append(Check(name, problem))
        return found

    @contextmanager
    def _guarded(self, engine: str) -> Iterator[None]:
        """The block asks *engine*: one that is online if its breaker allows it, which is told how it went."""
        breaker = self.breakers.get(engine)
        if breaker is None:
            yield
            return
        if not breaker.allows():
            raise SynthesisFailed(f"failed lately; tried again in {breaker.retry_in_seconds:.0f} s")
        try:
            yield
            breaker.succeeded()
        except SynthesisFailed:
            breaker.failed()
            raise
        finally:
            self.observer.note("speech_breaker_open", breaker.state != "closed", engine)

    def _begin(
        self, attempt: Attempt, request: SpeakRequest, wanted: Wanted, *, seconds: float, before: list[str]
    ) -> SynthesisResult:
        """Wait for the first bytes at most *seconds*, and for all of them where the request does not stream."""
        began = time.monotonic()
        limit, begun = began + seconds, False
        messages = self.engine.session(
            question(attempt, request, within_seconds=min(NETWORK_SECONDS, seconds)),
            cost_mb=SYNTHESIZERS[attempt.engine].memory_mb,
            patience_seconds=seconds,
            background=request.background,
            wanted=lambda: wanted() and time.monotonic() < limit,
        )
        writer = self.cache.writer() if self.cache.limit_bytes or not request.stream else None

        def received() -> Generator[bytes]:
            nonlocal limit, begun
            for message in messages:
                found = message.header
                if message.payload:
                    limit, begun = math.inf, True
                    if writer is not None:
                        writer.write(message.payload)
                    yield message.payload
                elif found["kind"] == "start":
                    result.skipped = found["skipped"]
                elif found["kind"] == "end":
                    result.duration_seconds, result.words = found["duration"], found.get("words")
                    if writer is not None:
                        writer.patch(found["patches"])
            if not begun:
                raise SynthesisFailed("it made no sound")
            self._finished(result, None if request.timestamps else writer, began)

        def close() -> None:
            audio.close()
            messages.close()
            if writer is not None:
                writer.close()

        name, voice, tag = attempt.engine, attempt.voice.id, cache_key(attempt, request)
        audio = received()
        result = SynthesisResult(name, voice, request.format, tuple(before), tag, audio, close)
        try:
            # Until then what goes wrong goes wrong here, and the next synthesizer is asked.
            first = next(audio)
            if request.stream or writer is None:
                result.audio = itertools.chain([first], audio)
            else:
                for _ in audio:
                    pass
                result.audio, result.size_bytes = writer.read(), writer.size
            return result
        except BaseException as error:
            close()
            if isinstance(error, ClientGone) and wanted():
                # Only the first that waits for memory is refused it; the others wait for their turn behind it.
                short = self._budget.shortage(self.engine, SYNTHESIZERS[attempt.engine].memory_mb)
                raise short or SynthesisFailed(f"no audio within {seconds:.0f} s") from None
            raise

    def _finished(self, result: SynthesisResult, writer: CacheWriter | None, began: float) -> None:
        """Note that a text was spoken to its end, and keep the audio."""
        seconds = result.duration_seconds or 0.0
        self.observer.note("speech_synthesized_audio_seconds_total", seconds, result.engine)
        if seconds > 0:
            ratio = (time.monotonic() - began) / seconds
            self.observer.note("speech_real_time_factor_ratio", ratio, "synthesis")
        if writer is not None:
            until = time.time() + STAND_IN_SECONDS if result.fallback else 0.0
            self.cache.keep(result.etag, writer, AudioInfo(seconds, result.skipped, until))


def question(attempt: Attempt, request: SpeakRequest, *, within_seconds: float) -> Header:
    """What the engine is asked."""
    return {
        "engine": attempt.engine,
        "voice": attempt.voice.key,
        "language": attempt.voice.language,
        "text": request.text,
        "speed": request.speed,
        "pitch": request.pitch,
        "format": AUDIO[request.format]._asdict(),
        "within_seconds": within_seconds,
        "scripts": sorted(attempt.scripts),
        "timed": request.timestamps is not None,
        "others": {script: [voice.key, voice.language] for script, voice in attempt.others.items()},
    }


def cache_key(attempt: Attempt, request: SpeakRequest) -> str:
    """The name of the audio: a digest of all that decides how it sounds."""
    pitch = request.pitch if SYNTHESIZERS[attempt.engine].has_pitch else 1.0
    voices = [attempt.voice.id, *sorted(voice.id for voice in attempt.others.values())]
    decisive = [CACHE_VERSION, voices, request.text, request.format, request.speed, pitch]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:40]


def cached_result(
    entry: CacheEntry, attempt: Attempt, request: SpeakRequest, before: list[str]
) -> SynthesisResult:
    """What the cache has; *before* says why nobody better spoke."""
    return SynthesisResult(
        attempt.engine,
        attempt.voice.id,
        request.format,
        tuple(before),
        cache_key(attempt, request),
        audio=chunks(entry.file),
        close=entry.file.close,
        cached=True,
        skipped=entry.info.skipped,
        duration_seconds=entry.info.duration_seconds,
        size_bytes=entry.size,
    )
