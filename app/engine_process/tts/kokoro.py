"""The natural voices of nine languages that need no network: Kokoro-82M, in int8, on onnxruntime."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy

from ...engine import protocol
from ...memory import trim_heap
from .english import normalize
from .espeak import Espeak
from .neural import session, to_16_bit
from .phonemes import PIECE_LIMIT, Piece, pieces
from .synthesizer import SpeechOptions, TimedWord, gain

Samples = numpy.ndarray[Any, Any]

MODEL, VOICES = "kokoro.onnx", "voices"  # in the directory of the model
ROWS, WIDTH = 510, 256  # of a voice: a style for each number of phonemes, float32
MIXED = re.compile(r"([a-z]{2}_[a-z]+)(?:\((\d+(?:\.\d+)?)\))?")  # of "af_heart(2)+af_bella(1)"
# Where what is said begins and ends is heard, not computed: it runs 50 to 120 ms ahead of the durations.
WINDOW_SAMPLES = 120  # 5 ms
QUIET = 0.003  # of the loudest window (-50 dB): the end of an "s" is louder, what the model hums is not
MARGIN_SAMPLES = 960  # 40 ms that stay on both sides
# LUFS of each voice, as the model has it: -13 to -25, and some clip.
LOUDNESS: dict[str, float] = json.loads(Path(__file__).with_suffix(".json").read_text())
# Seconds of silence after a piece, by the mark that ends it; within a clause a breath.
PAUSES = {",": 0.2, "—": 0.25, ":": 0.3, ";": 0.3, ".": 0.4, "!": 0.4, "?": 0.4, "…": 0.4, "": 0.0}
BREATH_PAUSE = 0.06


class Kokoro:
    """
    The voices in *directory*, with an espeak-ng of those in *espeak* for their phonemes.

    A piece of at most 40 phonemes is spoken at a time: that, and not the sentence, decides the memory it takes.
    """

    sample_rate = 24000
    speeds = (0.75, 2.0)  # slower, the model drawls, and a piece takes more memory

    def __init__(self, directory: str, espeak: Sequence[tuple[str, str | None]], *, threads: int) -> None:
        self._directory, self._espeak = Path(directory), Espeak(espeak)
        try:
            # Without the arena a piece peaks at 627 MB instead of 263. Waiting by spinning takes half again the
            # processor's time, which the web worker and Whisper need.
            self._session = session(self._directory / MODEL, threads, arena=True, spinning=False)
        except Exception as problem:  # onnxruntime's errors have no common class but this
            raise protocol.Refused(
                "misconfigured",
                f"Kokoro's model can't be read ({problem}); `python -m app voices fetch kokoro` fetches it again",
            ) from None
        trim_heap()

    def speak(self, text: str, options: SpeechOptions) -> Iterator[bytes]:
        """16-bit mono samples of *text*, piece by piece."""
        styles = mix(self._directory / VOICES, options.voice)
        louder = gain(sum(share * LOUDNESS[path.stem] for path, share in styles))
        text = normalize(text, options.language)
        limit = int(PIECE_LIMIT * min(options.speed, 1))  # slow speech is longer, and would weigh more
        for piece in pieces(
            text, options.language, self._espeak, limit=limit, final_pause=options.final_pause
        ):
            samples, words = self._say(piece, styles, options.speed)
            if options.words is not None:
                options.words.extend(words)
            yield to_16_bit(samples * louder)

    def _say(
        self, piece: Piece, styles: list[tuple[Path, float]], speed: float
    ) -> tuple[Samples, list[TimedWord]]:
        tokens = piece.tokens
        style = sum(share * row(path, len(tokens)) for path, share in styles)
        audio, frames = self._session.run(
            None,
            {
                "tokens": numpy.array([[0, *tokens, 0]]),  # 0 is silence
                "style": numpy.asarray(style, "float32")[None],
                "speed": numpy.array([speed], "float32"),
            },
        )
        begin, end = audible(audio)
        pause = (BREATH_PAUSE if piece.is_cut else PAUSES[piece.mark]) / speed
        silence = numpy.zeros(round(pause * self.sample_rate), "float32")
        words = word_times(piece, frames[0], (end - begin) / self.sample_rate)
        return numpy.concatenate([faded(audio[begin:end]), silence]), words


def mix(directory: Path, name: str) -> list[tuple[Path, float]]:
    """The voices' files in "af_heart(2)+af_bella(1)" and the share of each; Refused: one of them is not here."""
    parts = [MIXED.fullmatch(part.strip()) for part in name.split("+")]
    found = [(directory / f"{part[1]}.bin", float(part[2] or 1)) for part in parts if part]
    total = sum(weight for _, weight in found)
    if (
        len(found) < len(parts)
        or not total
        or not all(path.stem in LOUDNESS and path.is_file() for path, _ in found)
    ):
        raise protocol.Refused("invalid_request", f"voice: Kokoro has no voice {name!r} here", "voice")
    return [(path, weight / total) for path, weight in found]


def row(path: Path, phonemes: int) -> Samples:
    """The style of the voice in *path* for a piece of so many phonemes; the rest of the file is not read."""
    at = min(phonemes, ROWS) - 1
    return numpy.fromfile(path, "<f4", count=WIDTH, offset=at * WIDTH * 4)


def audible(samples: Samples) -> tuple[int, int]:
    """Where what is said begins and ends in *samples*, with a margin; all of them where nothing is."""
    windows = samples[: len(samples) // WINDOW_SAMPLES * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES)
    loudness = numpy.sqrt((windows**2).mean(axis=1))
    (heard,) = numpy.nonzero(loudness > QUIET * loudness.max(initial=0))
    if not len(heard):
        return 0, len(samples)
    begin, end = int(heard[0]) * WINDOW_SAMPLES, int(heard[-1] + 1) * WINDOW_SAMPLES
    return max(begin - MARGIN_SAMPLES, 0), min(end + MARGIN_SAMPLES, len(samples))


def word_times(piece: Piece, frames: Samples, seconds: float) -> list[TimedWord]:
    """
    When each word is said in *seconds* of a piece, by the model's *frames* for each phoneme.

    espeak-ng writes some words as one ("in the"); where the words and what is written do not pair off, a word has the
    share of the phonemes that it has of the letters.
    """
    begins = [0.0]
    for count in frames[1 : len(piece.phonemes) + 1]:  # without the silence before, and the mark
        begins.append(begins[-1] + float(count))
    groups = piece.phonemes.split(" ")
    lengths = [len(part) + 1 for part in (groups if len(groups) == len(piece.words) else piece.words)]
    margin = MARGIN_SAMPLES / Kokoro.sample_rate
    scale = max(seconds - 2 * margin, 0) / (begins[-1] or 1)
    found, at, last = [], 0, len(begins) - 1
    for word, length in zip(piece.words, lengths, strict=True):
        edges = (round(part * last / (sum(lengths) or 1)) for part in (at, at + length))
        begin, end = (margin + begins[min(edge, last)] * scale for edge in edges)
        found.append((word, begin, end))
        at += length
    return found


def faded(samples: Samples) -> Samples:
    """*samples* rising from silence and falling back to it within 5 ms: no piece clicks."""
    length = min(WINDOW_SAMPLES, len(samples) // 2)
    ramp = numpy.linspace(0, 1, length, dtype="float32")
    samples[:length] *= ramp
    samples[len(samples) - length :] *= ramp[::-1]
    return samples
