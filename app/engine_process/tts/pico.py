"""The parametric synthesizer: SVOX Pico in the package py-nanotts (5 MB, six voices, offline)."""

import re
from collections.abc import Iterator

from ...engine import protocol
from .english import normalize
from .synthesizer import SpeechOptions, gain, installed
from .text import sentences

SENTENCE_LIMIT = 400  # characters, about 25 s of speech
# py-nanotts 0.1.1 hangs at "eeee" repeated, fails at long numbers, and reads <speed level="20"> as an order to itself;
# sanitized like this, 1,048 odd texts went through without either.
NOT_READ = re.compile(r"[^\w\s.,;:!?'’%-]")
REPEATED = re.compile(r"(\w)\1{2,}")
LONG_NUMBER = re.compile(r"\d{9,}")
LONG_WORD = re.compile(r"\w{30}")


class Pico:
    """
    Pico, whose library has no state between sentences; in a process that did much before, the same text may come out
    up to a fifth shorter.
    """

    sample_rate = 16000
    speeds = (0.5, 2.0)
    # -10.8 to -13.3 by language, clipped; what is not clipped is a decibel louder.
    volume = gain(-12.6) / 1.12

    def __init__(self) -> None:
        self._library = installed("py_nanotts", "Pico", "py-nanotts").NanoTTS()

    def speak(self, text: str, options: SpeechOptions) -> Iterator[bytes]:
        """16-bit mono samples of *text*, one sentence at a time."""
        for sentence in sentences(normalize(text, options.language), SENTENCE_LIMIT):
            try:
                said = sanitized(sentence), options.voice, options.speed, options.pitch, self.volume
                yield self._library.speak(*said)
            except RuntimeError as problem:
                raise protocol.Refused("synthesis_failed", f"Pico failed: {problem}") from None


def sanitized(text: str) -> str:
    """*text* without what its library does not survive: signs, letters said three times, endless words and numbers."""
    text = REPEATED.sub(r"\1\1", NOT_READ.sub(" ", text))
    return LONG_WORD.sub(r"\g<0> ", LONG_NUMBER.sub(lambda number: " ".join(number[0]), text))
