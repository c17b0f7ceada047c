"""How a text is to be spoken, and what every synthesizer has in common."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Manner:
    """
    A voice by its engine's own name, a language tag, two factors of which 1.0 is the voice's own, and how
    long one answer of a network may take.
    """

    voice: str
    language: str
    speed: float = 1.0
    pitch: float = 1.0
    within_seconds: float = 30.0
    scripts: Collection[str] = ("latin",)  # what the voice reads
    others: Mapping[str, tuple[str, str]] = field(
        default_factory=dict
    )  # script: voice and language that read it
    goes_on: bool = False  # another voice finishes the sentence: no pause after the last word


class Synthesizer(Protocol):
    """Text to samples; one sentence at a time, so that work stays bounded and the first is out early."""

    name: str
    sample_rate: int
    speeds: tuple[float, float]  # slowest and fastest it speaks itself; the rest is time stretching

    def speak(self, text: str, manner: Manner) -> Iterator[bytes]:
        """Samples of cleaned *text*, 16-bit little-endian mono at `sample_rate`, sentence by sentence."""
