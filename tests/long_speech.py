"""
Long clean speech with its true text; `python -m tests.long_speech SECONDS PATH` writes the recording to PATH,
and what is said in it beside it.
"""

import hashlib
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from hibari import Hibari

from .recordings import DATA, Samples, resampler_for

SPEECH_RATE = 24_000  # what the neural voice speaks at
EDITION = 1  # a new number when the same arguments give a different recording

# Codec, rate and bit rate by the suffix of the file.
FORMATS: dict[str, tuple[str, int, int | None]] = {
    ".ogg": ("libopus", 48_000, 32_000),
    ".webm": ("libopus", 48_000, 32_000),
    ".mp3": ("libmp3lame", 24_000, 48_000),
    ".m4a": ("aac", 24_000, 48_000),
    ".flac": ("flac", 16_000, None),
    ".wav": ("pcm_s16le", 16_000, None),
}


def long_recording(seconds: float, path: Path, *, seed: int = 1) -> str:
    """
    Write about *seconds* of clean synthetic speech to *path* (its suffix says how) and return what is said.

    The paragraphs of `data/prose.txt` (about 10 minutes) come in order, then again in shuffled orders, with
    pauses of 0.3 to 1.5 s between them. An hour of Ogg Opus has 14 MB, under every upload limit; WAV 173 MB.
    """
    paragraphs = [line for line in (DATA / "prose.txt").read_text().splitlines() if line]
    said: list[str] = []
    draw = random.Random(seed)
    codec, rate, bit_rate = FORMATS[path.suffix]
    with av.open(path, "w") as output:
        stream = output.add_stream(codec, rate, layout="mono")
        if bit_rate:
            stream.bit_rate = bit_rate
        resampler = resampler_for(stream)

        def write(samples: Samples | None) -> None:
            frame = None
            if samples is not None:
                frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "s16", "mono")
                frame.sample_rate = SPEECH_RATE
            for resampled in resampler.resample(frame):
                output.mux(stream.encode(resampled))

        left = int(seconds * SPEECH_RATE)
        for paragraph in _without_end(paragraphs, draw):
            samples = spoken(paragraph)
            pause = np.zeros(int(draw.uniform(0.3, 1.5) * SPEECH_RATE), np.int16)
            if said and samples.size > left:
                break
            write(samples)
            write(pause)
            said.append(paragraph)
            left -= samples.size + pause.size
        write(None)
        output.mux(stream.encode(None))
    return " ".join(said)


def _without_end(paragraphs: list[str], draw: random.Random) -> Iterator[str]:
    """The paragraphs in order, then in one shuffled order after the other."""
    while True:
        yield from paragraphs
        paragraphs = draw.sample(paragraphs, len(paragraphs))


def spoken(paragraph: str) -> Samples:
    """*paragraph* by the neural voice, kept between runs: an hour is spoken once in 10 minutes' worth."""
    key = hashlib.sha256(f"{EDITION} {paragraph}".encode()).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / "voice-recordings" / f"{key}.npy"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        samples = (Hibari()(paragraph, seed=1) * 32_767).astype(np.int16)
        unfinished = kept.with_suffix(f".{random.SystemRandom().randrange(1 << 30)}")
        with unfinished.open("wb") as target:
            np.save(target, samples)
        unfinished.replace(kept)
    samples: Samples = np.load(kept)
    return samples


if __name__ == "__main__":
    destination = Path(sys.argv[2])
    destination.with_suffix(".txt").write_text(long_recording(float(sys.argv[1]), destination))
