"""A recording looked over and not transcribed: how long it is, where nobody speaks, in which language somebody does."""

from collections.abc import Callable, Iterator

from ..wire import Message
from .mel import HOP, RATE
from .recording import Recording
from .vad import CHUNK

LEAST_PAUSE_CHUNKS = 8  # a quarter of a second; between words there are 50 ms, in a long "t" 150
KEPT_FRAMES = 100  # the second of silence before the first word, which the model hears in a transcription too


def survey(recording: Recording, hear_language: Callable[[int, int], str] | None) -> Iterator[Message | None]:
    """
    Messages: pauses as pairs of seconds for each half minute, and at the end the duration and the language.

    *hear_language* is asked once, with a frame and a number of frames of the window of *recording* where somebody
    speaks for the first time; without it, and where nobody speaks, the language is None.
    """
    language = None
    pauses = Pauses()
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
        yield Message({"kind": "progress", "seconds": min(frame, recording.heard // HOP) * HOP / RATE})
        if not recording.complete:
            yield None
    yield Message({"kind": "end", "duration": recording.heard / RATE, "language": language})


class Pauses:
    """Finds the pauses in a recording while it passes by; holds nothing but where the last one began."""

    def __init__(self) -> None:
        self.next_chunk = 0
        self.silent_since = 0

    def read(self, recording: Recording) -> list[tuple[float, float]]:
        """Begin and end, in seconds, of the pauses that ended in what *recording* has heard since the last call."""
        found = []
        for speech in recording.verdicts[self.next_chunk - recording.first_verdict :]:
            if speech:
                if self.next_chunk - self.silent_since >= LEAST_PAUSE_CHUNKS:
                    found.append((self.silent_since * CHUNK / RATE, self.next_chunk * CHUNK / RATE))
                self.silent_since = self.next_chunk + 1
            self.next_chunk += 1
        return found
