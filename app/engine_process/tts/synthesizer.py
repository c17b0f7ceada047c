"""How a text is to be spoken, and what every synthesizer has in common."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from ...engine import protocol

TimedWord = tuple[str, float, float]  # a word, and the seconds of its piece when it begins and ends

# LUFS that every engine speaks with: EBU R128's own, at which no voice here clips. What an engine has by itself, over
# tests/data/sentences.json, stands in its module.
LOUDNESS = -23.0


def gain(measured_lufs: float) -> float:
    """What to multiply samples by that are as loud as *measured_lufs*."""
    return float(10 ** ((LOUDNESS - measured_lufs) / 20))


def installed(module: str, synthesizer: str, package: str) -> Any:
    """The *module* of *package*, which *synthesizer* is made of; Refused where it can't be imported."""
    try:
        return import_module(module)
    except ImportError as problem:
        message = f"{synthesizer} is not installed ({problem}); install {package}"
        raise protocol.Refused("misconfigured", message) from None


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """
    A voice by its engine's own name, a language tag, and two factors of which 1.0 is the voice's own.

    The voice reads *scripts*; *others* has the voice and language for more scripts. Without a
    *final_pause* another voice finishes the sentence. One answer of a network may take *within_seconds*. Where *words*
    is a list, a synthesizer that knows their times puts the words of each piece in, for the caller to take out.
    """

    voice: str
    language: str
    speed: float = 1.0
    pitch: float = 1.0
    within_seconds: float = 30.0
    scripts: Collection[str] = ("latin",)
    others: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    final_pause: bool = True
    words: list[TimedWord] | None = None


class Synthesizer(Protocol):
    """Text to samples; one sentence at a time, so that work stays bounded and the first is out early."""

    sample_rate: int
    speeds: tuple[float, float]  # slowest and fastest it speaks itself; the rest is time stretching

    def speak(self, text: str, options: SpeechOptions) -> Iterator[bytes]:
        """Samples of cleaned *text* at LOUDNESS, 16-bit little-endian mono at `sample_rate`, sentence by sentence."""
