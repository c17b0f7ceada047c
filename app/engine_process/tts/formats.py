"""What every encoder has in common: samples go in, the bytes of a file come out while they come."""

from typing import Protocol

Patch = tuple[int, bytes]  # where in the file, and what is to stand there


class Encoder(Protocol):
    """Takes 16-bit mono samples, gives bytes of the file."""

    sample_rate: int  # of the file

    @property
    def samples(self) -> int:
        """How many the file has so far, at its rate."""

    @property
    def patches(self) -> list[Patch]:
        """The final header, after `finish`."""

    def feed(self, pcm: bytes) -> bytes:
        """The bytes that are ready after *pcm*."""

    def finish(self) -> bytes:
        """The last bytes."""
