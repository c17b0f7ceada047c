"""Audio in, text out: what is asked for, what comes back, and the engine that does it here."""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ..engine import Observer
from ..engine.process import Engine
from ..engine.protocol import Header, Message
from ..engine.queueing import Work

# Of a recording whose header does not say how long it is, as a browser's: what browsers record, 32 to 128 kbit/s.
BYTES_PER_SECOND = 8000


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it was spoken, in seconds of the recording."""

    word: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """
    A stretch of speech as Whisper cuts it.

    *start* and *end* are seconds of the whole recording, *seek* is the start of its window in hundredths of
    a second; *words* is empty unless word times were asked for.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: list[Word] = field(default_factory=list)


class Clip(NamedTuple):
    """
    From and to so many seconds of what is decoded of a recording.

    Decoding may begin at *packet*, which is at *sample*; there the container's clock is ahead by *shift* seconds.
    """

    start: float
    end: float
    packet: int = 0
    sample: int = 0
    shift: float = 0.0


class TranscriptionRequest(NamedTuple):
    """
    What is to be done with the recording at *path*; the caller keeps it there meanwhile.

    In the *background* it gives way to requests that somebody waits for. Of a *clip* the times are still those of
    the whole recording. With the *resume* of an earlier Transcription, by the same model, it goes on from there. It is
    refused where it can't be begun within *patience_seconds*, while its client still waits.
    """

    path: str
    task: str = "transcribe"
    language: str | None = None
    prompt: str | None = None
    hotwords: str | None = None
    temperature: float | None = None
    beam_size: int | None = None
    word_timestamps: bool = False
    condition_on_previous_text: bool = True
    audio_track: int | None = None
    background: bool = False
    clip: Clip | None = None
    resume: dict[str, Any] | None = None
    patience_seconds: float = math.inf


@dataclass(slots=True)
class Transcription:
    """
    A recording being transcribed.

    Iterating yields segments as they are found; *language* is known from the first on, *duration_seconds*
    after the last: of a clip, its end. `close()` cancels what is left.
    """

    model: str
    messages: Iterator[Message]
    language: str | None = None
    language_probability: float = 0.0
    duration_seconds: float = 0.0
    seconds_done: float = 0.0
    begins_at: float = 0.0  # of a clip
    stated_seconds: float | None = None  # what the file says of its length, from the first segment on
    resume: dict[str, Any] | None = None  # at each `on_progress`: where another Transcription could go on
    observer: Observer = field(default_factory=Observer)
    # Called with the seconds done, and whether that is all; what it raises ends the work.
    on_progress: Callable[[float, bool], None] = lambda seconds_done, ended: None
    work: Work = field(default_factory=Work)

    def __iter__(self) -> Iterator[Segment]:
        began, length = time.monotonic(), 0.0
        for message in self.messages:
            found = message.header
            kind = found["kind"]
            if kind == "segment":
                yield _segment(found)
            elif kind == "length":
                length = self.work.left = found["seconds"] or self.work.left or 0.0
            elif kind == "progress":
                done = self.seconds_done = found["seconds"]
                self.resume = found.get("resume")
                # Past the length that was stated or guessed by half a minute, there may be as much again.
                self.work.left = max(length - done, 1.0) if done < length + 30 else done
                self.on_progress(done, False)
            elif kind == "start":
                self.language = found["language"]
                self.language_probability = found["language_probability"]
                self.stated_seconds = found.get("stated_seconds")
            elif kind == "end":
                self.duration_seconds = found["duration"]
                self.seconds_done = found.get("decoded_seconds", self.duration_seconds)
                seconds, took = self.seconds_done - self.begins_at, time.monotonic() - began
                self.observer.note("speech_transcribed_audio_seconds_total", seconds)
                if seconds > 0:
                    self.observer.note("speech_real_time_factor_ratio", took / seconds, "transcription")
                self.on_progress(self.seconds_done, True)

    def close(self) -> None:
        """Stop; what the engine still finds is dropped."""
        self.messages.close()  # type: ignore[attr-defined]


class Survey(NamedTuple):
    """
    A recording looked over: the *pauses* in it, and its language.

    That is None where one was asked for, where the model knows only one, and where nobody speaks.
    """

    duration_seconds: float
    pauses: list[Clip]
    language: str | None


class Transcriber(Protocol):
    """Whoever transcribes: the engine here, or another server."""

    model: str

    def transcribe(self, request: TranscriptionRequest, wanted: Callable[[], bool]) -> Transcription:
        """Begin; errors may come here or while iterating."""


class LocalTranscriber:
    """Transcribes in the whisper engine of this worker."""

    def __init__(
        self, engine: Engine, model: str, *, beam_size: int, language: str, max_audio_seconds: float
    ) -> None:
        self.engine, self.model = engine, model
        self._beam_size, self._language, self._max_audio_seconds = beam_size, language, max_audio_seconds

    def transcribe(self, request: TranscriptionRequest, wanted: Callable[[], bool]) -> Transcription:
        """Begin; the engine is asked when the first segment is."""
        header: Header = {
            "path": request.path,
            "task": request.task,
            "language": request.language or self._language or None,
            "prompt": request.prompt,
            "hotwords": request.hotwords,
            # Zero asks for the default: greedy, and other attempts where the text turns out doubtful.
            "temperature": request.temperature or None,
            "beam_size": request.beam_size or self._beam_size,
            "word_timestamps": request.word_timestamps,
            "condition_on_previous_text": request.condition_on_previous_text,
            "max_audio_seconds": self._max_audio_seconds,
            "audio_track": request.audio_track,
            "clip": request.clip,
            "resume": request.resume,
        }
        begins_at = request.clip[0] if request.clip else 0.0
        if request.resume:
            begins_at = request.resume["seconds"]
        work = Work(os.stat(request.path).st_size / BYTES_PER_SECOND, request.patience_seconds)
        messages = self.engine.session(header, background=request.background, work=work, wanted=wanted)
        return Transcription(self.model, messages, begins_at=begins_at, work=work)

    def survey(self, request: TranscriptionRequest, wanted: Callable[[], bool]) -> Survey:
        """Look the recording over, in about a fiftieth of the time it takes to transcribe it."""
        header: Header = {
            "path": request.path,
            "task": "survey",
            "language": request.language or self._language or None,
            "max_audio_seconds": self._max_audio_seconds,
            "audio_track": request.audio_track,
        }
        pauses: list[Clip] = []
        end: Header = {}
        for message in self.engine.session(header, background=request.background, wanted=wanted):
            pauses += [Clip(*pause) for pause in message.header.get("pauses", ())]
            if message.header["kind"] == "end":
                end = message.header
        return Survey(end["duration"], pauses, end["language"])


def _segment(found: Header) -> Segment:
    fields = {name: found[name] for name in Segment.__dataclass_fields__ if name != "words"}
    return Segment(**fields, words=[Word(**word) for word in found["words"] or ()])
