"""A recording as the transcriber reads it: the half minute ahead of it, and where in it there is speech."""

import itertools
from collections.abc import Callable, Generator, Iterator

import numpy as np

from ...engine.protocol import Message
from .clock import NEAR_SECONDS, Clock
from .mel import HOP, RATE, REACH, WINDOW_FRAMES, Samples
from .vad import CHUNK, SpeechDetector

# A frame looks 200 samples ahead; with these in hand a full window can be told from the last one.
AHEAD = WINDOW_FRAMES * HOP + REACH
SPEECH = 0.5  # Silero's own threshold
SHORTEST_SECONDS = 0.02  # of a span: one step of Whisper's times
BREAK_SAMPLES = 60 * RATE
LEAST_CHUNKS = 3  # a tenth of a second; a plain "yes" has six
LEAST_PAUSE_CHUNKS = 8  # a quarter of a second; between words there are 50 ms, in a long "t" 150
KEPT_FRAMES = 100  # of silence before a word are kept, because the model hears them in a transcription, too

# From and to, in seconds of the samples; packet, sample and shift of the mark before it.
Pause = tuple[float, float, int, int, float]


class Recording:
    """
    Bounded view of one recording: 30 seconds, however long it is. One session owns it.

    Positions are frames of 10 ms from the beginning of the recording, also where *samples* are those from sample
    *first* on, a multiple of the detector's chunks.
    """

    def __init__(
        self,
        samples: Iterator[Samples],
        detector: SpeechDetector | None,
        first: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self.source = samples
        self.clock = clock or Clock()
        self.detector = detector
        self.held = np.zeros(0, np.int16)
        self.first = first  # position of held[0], in samples
        self.complete = False
        self.threshold = SPEECH
        self.speech_flags: list[bool] = []
        self.first_flag = first // CHUNK

    @property
    def samples_read(self) -> int:
        """Samples decoded so far."""
        return self.first + len(self.held)

    @property
    def end_seconds(self) -> float:
        """What the clock says where decoding has come to."""
        end = self.samples_read / RATE
        return self.clock.span(end, end)[1]

    def span(self, begin: float, end: float, near: float = NEAR_SECONDS) -> tuple[float, float]:
        """What the clock says of seconds from and to in the samples; nothing ends after the recording."""
        last = self.samples_read / RATE
        return self.clock.span(min(begin, max(0.0, last - SHORTEST_SECONDS)), min(end, last), near)

    def advance(self, frame: int) -> int:
        """Move the window to *frame*; how many frames it has there, at most 3000, 0 at the end."""
        position, wanted = self.samples_read, frame * HOP + AHEAD
        pieces = []
        while not self.complete and position < wanted:
            piece = next(self.source, None)
            if piece is None:
                self.complete = True
                break
            position += len(piece)
            pieces.append(piece)
        self.take(np.concatenate([np.zeros(0, np.int16), *pieces]))
        self.forget(max(0, frame * HOP - REACH))
        return max(0, min(WINDOW_FRAMES, self.samples_read // HOP - frame))

    def take(self, fresh: Samples) -> list[float]:
        """Hold *fresh* too; the probability of speech in each chunk that is complete with it."""
        chances = []
        if self.detector:
            chances = self.detector.hear(fresh) + (self.detector.finish() if self.complete else [])
            self.speech_flags += [chance >= self.threshold for chance in chances]
        self.held = np.concatenate([self.held, fresh])
        return chances

    def forget(self, begin: int) -> None:
        """Let go of what comes before sample *begin*."""
        begin = min(begin, self.samples_read)
        self.held = self.held[begin - self.first :].copy()
        self.first = begin
        self.clock.forget(begin)
        passed = begin // CHUNK - self.first_flag
        del self.speech_flags[:passed]
        self.first_flag += passed

    def window(self, frame: int, frames: int) -> Samples:
        """
        Samples for `LogMel`: those of *frames* frames from *frame*, and 200 before and after.

        The recording goes on backwards before its beginning and is silent after its end, as in the stock call.
        """
        begin = frame * HOP - REACH - self.first
        samples = self.held[max(0, begin) : begin + frames * HOP + 2 * REACH]
        before = samples[-begin:0:-1] if begin < 0 else samples[:0]
        samples = np.concatenate([np.zeros(max(0, -begin) - len(before), np.int16), before, samples])
        return np.pad(samples, (0, frames * HOP + 2 * REACH - len(samples)))

    def speech(self, begin: int, end: int) -> tuple[int, int] | None:
        """
        The frames where speech begins and ends between two frames, None where nobody speaks.

        Where there is no detector everything is speech.
        """
        if self.detector is None:
            return begin, end
        spoken = self.spoken_chunks(begin, end)
        if len(spoken) < LEAST_CHUNKS:
            return None
        return max(begin, spoken[0] * CHUNK // HOP), min(end, (spoken[-1] + 1) * CHUNK // HOP)

    def spoken_seconds(self, begin: int, end: int) -> float:
        """For how long the detector heard speech between two frames; not at all where there is no detector."""
        return len(self.spoken_chunks(begin, end)) * CHUNK / RATE

    def spoken_chunks(self, begin: int, end: int) -> list[int]:
        """The numbers of the chunks with speech that lie, be it in part, between two frames."""
        first = max(begin * HOP // CHUNK, self.first_flag)
        flags = self.speech_flags[first - self.first_flag : max(0, -(-end * HOP // CHUNK) - self.first_flag)]
        return [number for number, speech in enumerate(flags, first) if speech]


def survey(recording: Recording, hear_language: Callable[[int, int], str] | None) -> Iterator[Message | None]:
    """
    *recording* looked over and not transcribed: the pauses of each half minute; at the end duration and language.

    *hear_language* is asked once, with a frame and a number of frames of the window of *recording* where somebody
    speaks for the first time; without it, and where nobody speaks, the language is None.
    """
    language = None
    ended = pauses(recording)
    frame = 0
    while frames := recording.advance(frame):
        found = next(ended)
        if language is None and hear_language and (speech := recording.speech(frame, frame + frames)):
            frame = max(frame, speech[0] - KEPT_FRAMES)
            frames = recording.advance(frame)
            found += next(ended)
            language = hear_language(frame, frames)
        frame += frames
        yield Message({"kind": "pauses", "pauses": found})
        yield Message({"kind": "progress", "seconds": min(frame, recording.samples_read // HOP) * HOP / RATE})
        if not recording.complete:
            yield None
    yield Message({"kind": "end", "duration": recording.samples_read / RATE, "language": language})


def pauses(recording: Recording) -> Iterator[list[Pause]]:
    """Again and again: the pauses that ended in what *recording* has heard since the last time."""
    next_chunk = silent_since = 0
    while True:
        found = []
        for speech in recording.speech_flags[next_chunk - recording.first_flag :]:
            if speech:
                if next_chunk - silent_since >= LEAST_PAUSE_CHUNKS:
                    begin, end = silent_since * CHUNK, next_chunk * CHUNK
                    found.append((begin / RATE, end / RATE, *recording.clock.mark_before(begin)))
                silent_since = next_chunk + 1
            next_chunk += 1
        yield found


def clip(
    samples: Iterator[Samples], begin: float, end: float, at: int = 0
) -> Generator[None, None, tuple[Iterator[Samples], int]]:
    """
    Those of *samples*, of which the first is number *at* of the recording, that a Recording needs from second *begin*
    to second *end*, and the number of the first of them.

    What comes before is dropped on the way, with a break after every minute of it.
    """
    first = max(0, round(begin * RATE) - REACH) // CHUNK * CHUNK
    rest = np.zeros(0, np.int16)
    for piece in samples:
        if at + len(piece) > first:
            rest = piece[first - at :]
            break
        if at // BREAK_SAMPLES < (at + len(piece)) // BREAK_SAMPLES:
            yield None
        at += len(piece)
    return _limited(itertools.chain([rest], samples), end * RATE - first), first


def _limited(samples: Iterator[Samples], count: float) -> Iterator[Samples]:
    """The first *count* of *samples*."""
    for piece in samples:
        if len(piece) >= count:
            yield piece[: round(count)]
            return
        yield piece
        count -= len(piece)
