"""
The package faster-whisper itself, for large machines and GPUs: same sessions, same messages, no bound on its memory.

It holds the whole recording, its spectrum and all weights. What is asked for, decoded and sent is this engine's.
"""

import itertools
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ...engine import protocol
from ...engine.protocol import Message
from ..native import Model
from .generate import REPETITIVE, Hypothesis
from .mel import HOP, RATE
from .whisper import WhisperEngine, describe
from .windows import SURELY_ENGLISH, Foreign
from .words import Segment, Word

BREAK_PIECES = 60  # of about a second; others take their turns meanwhile


class FasterWhisperEngine(WhisperEngine):
    """One model, run by `faster_whisper.WhisperModel`; a segment is a step."""

    def __init__(self, options: protocol.Header) -> None:
        super().__init__(options)
        self.device: str = options["device"]
        self.compute_type: str = options["compute_type"]

    @property
    def is_converted(self) -> bool:
        """It never reads the two files."""
        return False

    @cached_property
    def library(self) -> Any:  # the package's own types are not ours
        """The loaded model; Refused where the device can't be used."""
        import ctranslate2
        from faster_whisper import WhisperModel

        device, compute_type = self.device, self.compute_type
        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        if compute_type == "default":
            compute_type = "float16" if device == "cuda" else "int8"
        try:
            return WhisperModel(
                str(self.model_dir),
                device=device,
                compute_type=compute_type,
                cpu_threads=self.threads,
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:  # no GPU, too little memory on it, no such type there
            raise protocol.Refused(
                "misconfigured",
                f"WHISPER_DEVICE={device} with WHISPER_COMPUTE_TYPE={compute_type}: {error}",
            ) from None

    @cached_property
    def model(self) -> Model:
        """CTranslate2's Whisper."""
        return self.library.model

    def is_for_another(self, segment: Any, language: str) -> bool:
        """Whether the first segment says that another model is to transcribe: see `WhisperEngine.transcribe`."""
        if self.vocabulary.multilingual:
            return language == "en"
        # Above temperature 0 the library draws samples, because the text without was unlikely or repeated itself.
        unsure = segment.temperature > 0 or segment.compression_ratio > REPETITIVE
        return bool(unsure or segment.avg_logprob < SURELY_ENGLISH)

    def transcribe(self, header: protocol.Header) -> Iterator[Message | None]:
        """Messages: length, start, then segment and progress for each segment, then end; None between them."""
        language = self.check(header["task"], header.get("language"), header.get("languages") or ())
        recording = yield from self.recording({**header, "no_speech_gate": False})
        first, pieces = recording.first, []
        for number, piece in enumerate(recording.source, 1):
            pieces.append(piece)
            if number == 1:
                yield Message({"kind": "length", "seconds": recording.clock.stated_seconds})
            if number % BREAK_PIECES == 0:
                yield None
        audio = np.concatenate([np.zeros(0, np.int16), *pieces])
        del pieces
        # It may have begun in the builtin engine; this one says nothing of it.
        resume = header.get("resume") or {}
        if resume:
            audio = audio[max(0, round(resume["seconds"] * RATE) - first) :]
            first = max(first, round(resume["seconds"] * RATE))
        recording.first = first + len(audio)  # all of it is read, and none is held there
        sound = audio.astype(np.float32) / 32768
        if language is None and header.get("languages"):
            heard = self.library.detect_language(sound, vad_filter=True)[2]
            language = next(each for each, _ in heard if each in header["languages"])
        found, about = self.library.transcribe(
            sound,
            language=resume.get("language", language),
            task=header["task"],
            beam_size=header.get("beam_size") or 1,
            **({"temperature": header["temperature"]} if header.get("temperature") else {}),
            initial_prompt=header.get("prompt"),
            hotwords=header.get("hotwords"),
            word_timestamps=header.get("word_timestamps", False),
            condition_on_previous_text=header.get("condition_on_previous_text", True),
            vad_filter=header.get("no_speech_gate", True),
        )
        spoken = about.duration_after_vad > 0
        if header.get("hand_over"):
            begins = list(itertools.islice(found, 1))
            found = itertools.chain(begins, found)
            unheard = spoken and not begins and not self.vocabulary.multilingual
            if unheard or (begins and self.is_for_another(begins[0], about.language)):
                raise Foreign
        yield self.start(
            about.language if language or spoken else None,
            about.language_probability if spoken else 0.0,
            recording,
        )
        shift = first / RATE
        for number, each in enumerate(found, 1 + resume.get("segments", 0)):
            words = each.words and [
                Word(word.word, shift + word.start, shift + word.end, word.probability, [])
                for word in each.words
            ]
            segment = Segment(shift + each.start, shift + each.end, each.tokens, each.text, words)
            hypothesis = Hypothesis(
                each.tokens, each.temperature, each.avg_logprob, each.compression_ratio, each.no_speech_prob
            )
            yield describe(number, first // HOP + each.seek, segment, hypothesis, recording)
            yield Message({"kind": "progress", "seconds": segment.end})
            yield None
        decoded = recording.samples_read / RATE
        yield Message({"kind": "progress", "seconds": decoded})
        yield Message({"kind": "end", "duration": recording.end_seconds, "decoded_seconds": decoded})
