"""
Samples to the bytes of a file, while they come: wav and pcm here, what needs PyAV in `compress.py`.

What is sent first can't know how long the speech will be. Formats whose header says so get their final
header as `patches` at the end: whoever kept the whole file can write them into it.
"""

import struct

Patch = tuple[int, bytes]  # where in the file, and what is to stand there
UNKNOWN_SIZE = 0xFFFFFFFF  # in a WAV header: until the end of the file


class Raw:
    """
    16-bit mono samples as they are; what makes another file of them has the same methods.

    *sample_rate* is the file's, *samples* how many it has so far, *patches* its final header, after `finish`.
    """

    def __init__(self, rate: int) -> None:
        self.sample_rate, self.samples = rate, 0
        self.patches: list[Patch] = []

    def feed(self, pcm: bytes) -> bytes:
        """The bytes of the file that are ready after *pcm*."""
        self.samples += len(pcm) // 2
        return pcm

    def finish(self) -> bytes:
        """The last bytes."""
        return b""


class Wave(Raw):
    """A RIFF header of unknown length, then the samples."""

    def feed(self, pcm: bytes) -> bytes:
        """*pcm*, after the header where it is the first."""
        header = b"" if self.samples or not pcm else self._header(UNKNOWN_SIZE, UNKNOWN_SIZE)
        return header + super().feed(pcm)

    def finish(self) -> bytes:
        """Nothing is left, but a header where no samples came."""
        size = 2 * self.samples
        if not size:
            return self._header(36, 0)
        self.patches.append((0, self._header(36 + size, size)))
        return b""

    def _header(self, file_size: int, data_size: int) -> bytes:
        # One "fmt " chunk of 16 bytes: PCM, mono, rate, bytes a second, bytes a frame, bits a sample.
        layout = struct.pack("<HHIIHH", 1, 1, self.sample_rate, 2 * self.sample_rate, 2, 16)
        sizes = struct.pack("<I", file_size), struct.pack("<I", data_size)
        return b"RIFF" + sizes[0] + b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + sizes[1]


PLAIN = {"s16le": Raw, "wav": Wave}  # by container: what is made without PyAV
