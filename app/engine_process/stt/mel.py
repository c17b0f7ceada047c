"""
Log-mel spectrograms as Whisper was trained on, with nothing beside numpy.

The parameters are those of OpenAI's `whisper/audio.py`: 16 kHz, a Hann window of 400 samples every 160,
mel filters on Slaney's scale with equal area, powers in log10 clipped 8 below the largest, then
(x + 4) / 4. Here the largest is the window's, which is what the model saw in training; the stock
call of faster-whisper takes the whole recording's, and would need all of it first.
"""

import numpy as np
import numpy.typing as npt

RATE = 16000
HOP = 160  # samples from one frame to the next: 10 ms
FFT_SIZE = 400
REACH = FFT_SIZE // 2  # samples a frame looks at on either side of its own
WINDOW_FRAMES = 3000
BLOCK_FRAMES = 250  # 250 x 400 floats at a time are 0.4 MB; all 3000 at once would peak at 15

Floats = npt.NDArray[np.float32]
Samples = npt.NDArray[np.int16]  # 16 kHz mono


class LogMel:
    """Features of one window at a time, in an array that the next call overwrites."""

    def __init__(self, bands: int) -> None:
        # In 64 bits, so that the sums are the same however many threads multiply. int8 arithmetic makes other words of
        # a last bit: over 17 recordings of people 104 were wrong with two threads, 113 with one.
        self.filters = mel_filters(bands).astype(np.float64)
        self.taper = np.hanning(FFT_SIZE + 1)[:-1].astype(np.float32)
        self.features = np.zeros((1, bands, WINDOW_FRAMES), np.float32)

    def __call__(self, samples: Samples, frames: int, length: int = WINDOW_FRAMES) -> Floats:
        """
        Features of *frames* frames, shape (1, bands, *length*), zeros after them; *length* becomes even.

        The first frame is centred on sample 200 of *samples*: give it the 200 that came before.
        """
        length += length % 2
        out = self.features.reshape(-1)[: self.features.shape[1] * length].reshape(-1, length)
        out[:, frames:] = 0
        for first in range(0, frames, BLOCK_FRAMES):
            height = min(BLOCK_FRAMES, frames - first)
            begin = first * HOP
            block = samples[begin : begin + (height - 1) * HOP + FFT_SIZE].astype(np.float32)
            block /= 32768
            overlapping = np.lib.stride_tricks.sliding_window_view(block, FFT_SIZE)[::HOP]
            spectrum = np.fft.rfft(overlapping * self.taper, axis=1).astype(np.complex64)
            power = np.abs(spectrum) ** 2
            out[:, first : first + height] = self.filters @ power.T.astype(np.float64)
        heard = out[:, :frames]
        np.maximum(heard, 1e-10, out=heard)
        np.log10(heard, out=heard)
        np.maximum(heard, heard.max() - 8, out=heard)
        heard += 4
        heard /= 4
        return out[None]


def mel_filters(bands: int) -> Floats:
    """
    Triangular filters, shape (bands, 201).

    Slaney's scale (Auditory Toolbox, 1998): 200/3 Hz a mel up to 1 kHz, then 27 mels for each factor 6.4.
    """
    slope, knee_hz, log_step = 200 / 3, 1000.0, np.log(6.4) / 27
    top = knee_hz / slope + np.log(RATE / 2 / knee_hz) / log_step
    mels = np.linspace(0, top, bands + 2)
    corners = np.where(
        mels < knee_hz / slope, mels * slope, knee_hz * np.exp(log_step * (mels - knee_hz / slope))
    )
    bins = np.fft.rfftfreq(FFT_SIZE, 1 / RATE)
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    filters: Floats = (np.maximum(triangles, 0) * (2 / (high - low))).astype(np.float32)
    return filters
