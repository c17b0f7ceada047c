"""Audio in, text out: what is asked for, and what comes back."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..engine import Observer
from ..engine.protocol import Header, Message
from ..engine.queueing import Work

# How far from where it would be best a recording may be cut into parts: further off the longer pauses are no longer
# worth it, as parts that differ in length keep workers waiting for the longest.
REACH_SECONDS = 60.0
ENOUGH_SECONDS = 1.0  # pauses longer than this are as good as each other, and the nearest is taken


class Word(NamedTuple):
    """A word and when it was spoken, in seconds of the recording."""

    word: str
    start: float
    end: float
    probability: float


class Segment(NamedTuple):
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
    words: Sequence[Word] = ()


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

    @property
    def middle(self) -> float:
        """In seconds."""
        return (self.start + self.end) / 2


class TranscriptionRequest(NamedTuple):
    """
    What is to be done with the recording at *path*; the caller keeps it there meanwhile.

    Without a *model*, the first that can does it; without a *language* it is heard, one of *languages* where there are
    any. In the *background* it gives way to requests that somebody waits for. Of a *clip* the times are still those of
    the whole recording. With the *resume* of an earlier Transcription it goes on from there, with the same model. It is
    refused where it can't be begun within *patience_seconds*, while its client still waits.
    """

    path: str
    model: str | None = None
    task: str = "transcribe"
    language: str | None = None
    languages: Sequence[str] = ()
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

    model: str  # whose text it is, from the first segment on
    messages: Iterator[Message] = field(default_factory=lambda: iter(()))
    language: str | None = None
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
                yield read_segment(found)
            elif kind == "length":
                length = self.work.left = found["seconds"] or self.work.left or 0.0
            elif kind == "progress":
                # Another model begins again.
                done = self.seconds_done = max(self.seconds_done, found["seconds"])
                self.resume = found.get("resume")
                # Past the length that was stated or guessed by half a minute, there may be as much again.
                self.work.left = max(length - done, 1.0) if done < length + 30 else done
                self.on_progress(done, False)
            elif kind == "start":
                self.language, self.model = found["language"], found.get("model", self.model)
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

    def cut(self, part_seconds: float) -> list[Clip]:
        """
        Parts to be transcribed side by side: about equal, none much longer than *part_seconds*.

        Each cut is in the middle of a long pause around; where there is none, there is no cut.
        """
        duration = self.duration_seconds
        count = max(1, math.ceil(duration / part_seconds))
        reach = min(REACH_SECONDS, duration / count / 3)
        parts = [Clip(0.0, duration)]
        for number in range(1, count):
            mark = duration * number / count
            near = [pause for pause in self.pauses if abs(pause.middle - mark) <= reach]
            near.sort(key=lambda pause: abs(pause.middle - mark))
            best = max(near, key=_worth, default=parts[-1])
            middle = round(best.middle, 2)  # Whisper's windows begin at hundredths of a second
            if near and middle > parts[-1].start:
                parts[-1] = parts[-1]._replace(end=middle)
                parts.append(best._replace(start=middle, end=duration))
        return parts


def _worth(pause: Clip) -> float:
    return min(round(pause.end - pause.start, 1), ENOUGH_SECONDS)


def read_segment(found: Header) -> Segment:
    """The segment in a message of the engine, or in a line of a transcript."""
    words = [Word(**word) for word in found["words"] or ()]
    return Segment(**{**{name: found[name] for name in Segment._fields}, "words": words})


def join_text(segments: Iterable[Segment]) -> str:
    """The text of all *segments*."""
    return "".join(segment.text for segment in segments).strip()


def transcription_dict(done: Transcription, segments: Iterable[Segment]) -> dict[str, object]:
    """Text, language, duration in seconds and model of a transcription that has ended."""
    return {
        "text": join_text(segments),
        "language": done.language,
        "duration": round(done.duration_seconds, 2),
        "model": done.model,
    }


def transcript_dict(done: Transcription, segments: Sequence[Segment]) -> dict[str, object]:
    """The whole of a transcription that has ended, as our own API answers it."""
    return {**transcription_dict(done, segments), "segments": [segment_dict(one) for one in segments]}


def segment_dict(found: Segment) -> dict[str, object]:
    """A segment; its words only where they were asked for."""
    words = {"words": [word._asdict() for word in found.words]} if found.words else {}
    return {"start": round(found.start, 2), "end": round(found.end, 2), "text": found.text.strip(), **words}
