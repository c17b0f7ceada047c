"""
Word errors over some three hundred recordings of 1 to 20 seconds, each encoded at its own length and as 30 s.

`python -m benchmarks.pieces FOLDER`: FOLDER has recordings of people and a `clips.tsv`, as for `benchmarks.accuracy`.
The English ones are cut between words, found by aligning the true text; to them come sentences of
`tests/data/prose.txt` in the neural voice, clean and with noise. In this process, without a server.
"""

import csv
import random
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.config import Settings
from app.engine_process.stt import decode, whisper
from app.engine_process.stt.mel import RATE
from app.engine_process.stt.recording import Recording
from app.engine_process.stt.words import align
from app.speech import models
from tests.long_speech import SPEECH_RATE, spoken
from tests.recordings import DATA

from .accuracy import wrong_words
from .service import processors
from .table import HEADING, Row

PIECES_A_CLIP, SENTENCES = 18, 120
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 20.0
Samples = npt.NDArray[np.int16]


class Piece(NamedTuple):
    """Samples at 16 kHz and what is said in them."""

    samples: Samples
    text: str


def of_people(folder: Path, engine: whisper.WhisperEngine) -> Iterator[Piece]:
    """Stretches of the English clips of at most 30 s, from and to a gap between words."""
    draw = random.Random(1)
    with (folder / "clips.tsv").open() as lines:
        clips = [clip for clip in csv.DictReader(lines, delimiter="\t") if clip["language"] == "en"]
    for clip in clips:
        recording = Recording(decode.decode(str(folder / clip["file"]), 60), None)
        frames = recording.advance(0)
        samples = recording.held.copy()
        text = clip["transcript"].split()
        tokens = engine.vocabulary.encode(" " + " ".join(text))
        encoded = engine.encode(recording, 0, frames)
        task = engine.task({"task": "transcribe"}, "en")
        words = align(engine.model, encoded, tokens, engine.vocabulary, task, frames)
        if recording.samples_read > 30 * RATE:  # its text goes on after the window
            words = [word for word in words if word.end < 25]
        for _ in range(PIECES_A_CLIP):
            begin = draw.randrange(len(words))
            end = draw.randrange(begin, len(words))
            start, stop = words[begin].start, words[end].end
            if SHORTEST_SECONDS <= stop - start <= LONGEST_SECONDS:
                said = "".join(word.text for word in words[begin : end + 1])
                yield Piece(samples[round(start * RATE) : round(stop * RATE)], said)


def of_the_voice() -> Iterator[Piece]:
    """Sentences, by turns clean and with white noise 20 and 10 dB below them."""
    prose = " ".join((DATA / "prose.txt").read_text().split())
    sentences = [f"{each}." for each in prose.split(". ") if 10 < len(each) < 250][:SENTENCES]
    noise = np.random.default_rng(1)
    for number, sentence in enumerate(sentences):
        voice = spoken(sentence)
        at = np.arange(0, len(voice) - 1, SPEECH_RATE / RATE)
        samples = np.interp(at, np.arange(len(voice)), voice).astype(np.float32)
        level = (0.0, 0.1, 0.316)[number % 3]
        samples += level * samples.std() * noise.standard_normal(len(samples)).astype(np.float32)
        yield Piece((samples / np.abs(samples).max() * 20_000).astype(np.int16), sentence)


def hear(engine: whisper.WhisperEngine, piece: Piece) -> tuple[str, float]:
    """The text, and how long it took."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        with wave.open(file.name, "wb") as written:
            written.setparams((1, 2, RATE, 0, "NONE", ""))
            written.writeframes(piece.samples.tobytes())
        began = time.perf_counter()
        header = {"path": file.name, "task": "transcribe", "language": "en", "max_audio_seconds": 60}
        answers = [answer.header for answer in engine.open(header) if answer]
    text = "".join(answer["text"] for answer in answers if answer["kind"] == "segment")
    return text, time.perf_counter() - began


def main(folder: Path, model: str) -> Iterator[Row]:
    """Both ways side by side, piece by piece."""
    path = models.find(model, Path(Settings().model_dir))
    engine = whisper.WhisperEngine({"model_dir": str(path), "model": model, "threads": processors()})
    longest = whisper.SHORT_FRAMES
    for source, pieces in {"people": list(of_people(folder, engine)), "voice": list(of_the_voice())}.items():
        words = sum(len(piece.text.split()) for piece in pieces)
        for way, frames in {"30 s": 0, "own length": longest}.items():
            whisper.SHORT_FRAMES = frames
            wrong, seconds = 0, 0.0
            for piece in pieces:
                text, took = hear(engine, piece)
                wrong, seconds = wrong + wrong_words(piece.text, text), seconds + took
            what = f"{model}, {len(pieces)} pieces, {source}, {way}"
            yield Row(f"{what}: word errors", 100 * wrong / words, "%")
            yield Row(f"{what}: a piece", seconds / len(pieces) * 1000, "ms")


if __name__ == "__main__":
    print(HEADING)
    for row in main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "tiny.en"):
        print(row, flush=True)
