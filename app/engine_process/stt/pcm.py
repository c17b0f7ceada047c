"""Audio as it comes over a line, in pieces, to what the model reads: 16 bits at 16 kHz."""

from math import gcd

import numpy as np

from .mel import RATE, Samples

CROSSINGS = 12  # of the filter's sinc, on either side: -60 dB from 8.5 kHz on
CUTOFF = 0.94  # of the lower of both Nyquist frequencies
MOST_PHASES = (
    640  # as 11,025 Hz needs; an odd rate takes the nearest, which is off by a fifteen-hundredth of a sample
)
BLOCK = 1600  # 0.1 s at a time: 0.5 MB


class Pcm:
    """
    Decodes one stream: *encoding* "pcm" (s16le), "ulaw" or "alaw", at *rate* Hz.

    A sample that is cut between two pieces is put together; the filter looks 12 samples of the lower rate ahead.
    """

    def __init__(self, encoding: str, rate: int) -> None:
        self.table = {"ulaw": ulaw, "alaw": alaw}[encoding]() if encoding != "pcm" else None
        self.resample = Resampler(rate) if rate != RATE else None
        self.odd = b""

    def __call__(self, piece: bytes) -> Samples:
        """The samples that *piece* completes."""
        if self.table is not None:
            samples = self.table[np.frombuffer(piece, np.uint8)]
        else:
            piece = self.odd + piece
            whole = len(piece) // 2 * 2
            self.odd = piece[whole:]
            samples = np.frombuffer(piece[:whole], "<i2").astype(np.int16)
        return self.resample(samples) if self.resample else samples


class Resampler:
    """From *rate* Hz to 16 kHz, by a sinc under a Kaiser window, one filter for each place between two samples."""

    def __init__(self, rate: int) -> None:
        common = gcd(rate, RATE)
        self.up, self.down = RATE // common, rate // common
        self.phases = min(self.up, MOST_PHASES)
        width = CUTOFF * min(1.0, RATE / rate)
        self.half = round(CROSSINGS / width)
        at = np.arange(-self.half + 1, self.half + 1) - np.arange(self.phases)[:, None] / self.phases
        taper = np.i0(6.0 * np.sqrt(np.maximum(0, 1 - (at / self.half) ** 2))) / np.i0(6.0)
        filters = width * np.sinc(width * at) * taper
        self.filters = (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
        self.held = np.zeros(self.half - 1, np.int16)  # held[half - 1] is the sample before the next output
        self.phase = 0  # of the next output, in 1 / up of a sample

    def __call__(self, samples: Samples) -> Samples:
        """What can be said at 16 kHz now."""
        held = np.concatenate([self.held, samples])
        room = len(held) - 2 * self.half + 1  # places where the filter fits
        count = max(0, -(-(room * self.up - self.phase) // self.down))
        out = np.empty(count, np.int16)
        for first in range(0, count, BLOCK):
            last = min(first + BLOCK, count)
            places = self.phase + np.arange(first, last) * self.down
            begins, phases = places // self.up, places % self.up * self.phases // self.up
            part = held[begins[0] : begins[-1] + 2 * self.half].astype(np.float32)
            windows = np.lib.stride_tricks.sliding_window_view(part, 2 * self.half)[begins - begins[0]]
            heard = np.einsum("ij,ij->i", windows, self.filters[phases])
            out[first:last] = np.clip(np.rint(heard), -32768, 32767)
        passed, self.phase = divmod(self.phase + count * self.down, self.up)
        self.held = held[passed:].copy()
        return out


def ulaw() -> Samples:
    """What each byte of G.711's mu-law stands for: ITU-T G.711, table 2, as 16 bits."""
    code = ~np.arange(256, dtype=np.int32) & 255
    magnitude = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
    return np.where(code & 128, -magnitude, magnitude).astype(np.int16)


def alaw() -> Samples:
    """What each byte of G.711's A-law stands for: ITU-T G.711, table 1, as 16 bits."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = code >> 4 & 7, ((code & 15) << 4) + 8
    magnitude = np.where(segment > 0, step + 256 << np.maximum(segment - 1, 0), step)
    return np.where(code & 128, magnitude, -magnitude).astype(np.int16)
