"""A recording looked over and not transcribed: how long it is, where nobody speaks, in which language somebody does."""

from collections import deque
from collections.abc import Callable, Iterator

from ...engine.protocol import Message
from .decode import BEGINNING, Mark
from .mel import HOP, RATE
from .recording import Recording
from .vad import CHUNK

LEAST_PAUSE_CHUNKS = 8  # a quarter of a second; between words there are 50 ms, in a long "t" 150
KEPT_FRAMES = 100  # the second of silence before the first word, which the model hears in a transcription too


MARK_SAMPLES = RATE  # from one mark that is kept to the next
LEAD_SAMPLES = RATE  # of what is decoded before it is needed: twice of what any codec looks back

# From and to, in seconds of the samples; packet, sample and shift of the mark before it.
Pause = tuple[float, float, int, int, float]


def survey(
    recording: Recording, marks: "Marks", hear_language: Callable[[int, int], str] | None
) -> Iterator[Message | None]:
    """
    Messages: the pauses of each half minute, and at the end the duration and the language.

    *hear_language* is asked once, with a frame and a number of frames of the window of *recording* where somebody
    speaks for the first time; without it, and where nobody speaks, the language is None.
    """
    language = None
    pauses = Pauses(marks)
    frame = 0
    while frames := recording.advance(frame):
        found = pauses.read(recording)
        if language is None and hear_language and (speech := recording.speech(frame, frame + frames)):
            frame = max(frame, speech[0] - KEPT_FRAMES)
            frames = recording.advance(frame)
            found += pauses.read(recording)
            language = hear_language(frame, frames)
        frame += frames
        yield Message({"kind": "pauses", "pauses": found})
        yield Message({"kind": "progress", "seconds": min(frame, recording.samples_read // HOP) * HOP / RATE})
        if not recording.complete:
            yield None
    yield Message({"kind": "end", "duration": recording.samples_read / RATE, "language": language})


class Marks:
    """Where decoding may begin again, a mark a second; those that are behind are let go of."""

    def __init__(self, first: Mark = BEGINNING) -> None:
        self.kept: deque[Mark] = deque([first])

    def note(self, mark: Mark) -> None:
        """One more; `decode` calls it."""
        if mark.sample >= self.kept[-1].sample + MARK_SAMPLES:
            self.kept.append(mark)

    def before(self, sample: int) -> Mark:
        """The last one that is early enough for what begins at *sample*; later calls are for later samples."""
        while len(self.kept) > 1 and self.kept[1].sample <= sample - LEAD_SAMPLES:
            self.kept.popleft()
        return self.kept[0]


class Pauses:
    """Finds the pauses in a recording while it passes by; holds nothing but where the last one began."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.next_chunk = 0
        self.silent_since = 0

    def read(self, recording: Recording) -> list[Pause]:
        """The pauses that ended in what *recording* has heard since the last call."""
        found = []
        for speech in recording.speech_flags[self.next_chunk - recording.first_flag :]:
            if speech:
                if self.next_chunk - self.silent_since >= LEAST_PAUSE_CHUNKS:
                    begin, end = self.silent_since * CHUNK, self.next_chunk * CHUNK
                    found.append((begin / RATE, end / RATE, *self.marks.before(begin)))
                self.silent_since = self.next_chunk + 1
            self.next_chunk += 1
        return found
