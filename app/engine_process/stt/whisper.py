"""Speech to text in this process: a recording's segments, window by window."""

import itertools
import math
import os
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

from ...engine import protocol
from ...engine.protocol import WARM, Message
from ..native import Encoded, Model, extension, release, unchanged_mappings
from . import vad
from .clock import BEGINNING, NEAR_SECONDS, Clock, Mark
from .convert import DECODER, ENCODER, WEIGHTS
from .decode import decode
from .encoder import Encoder
from .generate import Hypothesis, Task
from .kernels import choose
from .mel import HOP, RATE, WINDOW_FRAMES, LogMel
from .recording import KEPT_FRAMES, Recording, clip, survey
from .tokens import Vocabulary
from .windows import NEAR_FRAMES, Foreign, Transcriber
from .words import FRAMES_PER_SECOND, Segment, Word

SURVEY = "survey"
# Silence longer than a speaker's pause is passed over, but for the second before the next word or, where none
# comes in this window, for its last: the model puts a text's beginning at the beginning of the silence before it.
LONGEST_PAUSE_FRAMES = 300
# Where a transcription goes on, the detector of speech hears this much again: its level is of the last half minute.
LEAD_SECONDS = 20.0
# Whisper was trained on 30 s. Models for English hear a short recording as well with 5 s of silence after it; with 2 or
# 3 s they repeat themselves more often. docs/decisions/0070-short-windows.md has the figures.
PADDING_FRAMES, SHORT_FRAMES = 500, 1500
invalid_request = partial(protocol.Refused, "invalid_request")


class WhisperEngine:
    """
    One model, and any number of recordings taking turns with it, a window each.

    The model is loaded by the first session, once its audio proved to be audio.
    """

    def __init__(self, options: protocol.Header) -> None:
        self.model_dir = Path(options["model_dir"])
        self.name: str = options["model"]
        self.threads: int = options["threads"]
        self.encoder_choice: str = options.get("encoder", "auto")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens; Refused where there is no model."""
        if not (self.is_converted or (self.model_dir / WEIGHTS).is_file()):
            raise protocol.Refused(
                "model_missing", f"there is no model in {self.model_dir}; run `make run` to fetch it"
            )
        return Vocabulary(self.model_dir)

    @cached_property
    def model(self) -> Model:
        """CTranslate2's Whisper."""
        directory = (self.model_dir / DECODER).parent if self.is_converted else self.model_dir
        return extension().Whisper(
            os.fsencode(directory), "cpu", compute_type="int8", intra_threads=self.threads
        )

    @property
    def is_converted(self) -> bool:
        """Whether the model is in two files; else CTranslate2 encodes, with everything in memory."""
        return (self.model_dir / ENCODER).is_file()

    @cached_property
    def encoder(self) -> Encoder | None:
        """What computes the encoder, where CTranslate2 does not."""
        return (
            Encoder(self.model_dir, choose(self.encoder_choice), self.threads) if self.is_converted else None
        )

    @cached_property
    def mel(self) -> LogMel:
        """The spectrogram in the number of bands this model reads."""
        return LogMel(self.model.n_mels)

    @cached_property
    def code(self) -> list[tuple[int, int]]:
        """What decoding and the spectrum leave behind in memory; made once all libraries are loaded."""
        return unchanged_mappings()

    @cached_property
    def speech_detector(self) -> vad.Silero:
        """The gate's network."""
        return vad.load()

    def open(self, header: protocol.Header) -> Iterator[Message | None]:
        """
        What the task of *header* finds; None between windows.

        "warm" finds nothing: it loads what the first recording needs. "handed_over" ends what another model is to do.
        """
        try:
            if header["task"] == WARM:
                _ = self.vocabulary, self.model, self.encoder, self.mel, self.speech_detector
            elif header["task"] == SURVEY:
                yield from self.survey(header)
            else:
                yield from self.transcribe(header)
        except Foreign:
            yield Message({"kind": "handed_over"})

    def survey(self, header: protocol.Header) -> Iterator[Message | None]:
        """The recording looked over; its language is heard where none is given and the model knows several."""
        language = self.check("transcribe", header.get("language"))
        recording = yield from self.recording({**header, "no_speech_gate": True})

        def hear_language(frame: int, frames: int) -> str:
            return self.heard_language(self.encode(recording, frame, frames))[0]

        yield from survey(recording, hear_language if language is None else None)

    def recording(self, header: protocol.Header) -> Generator[None, None, Recording]:
        """
        The recording *header* names, or the clip of it: from and to so many seconds, and where decoding may begin.

        None while the way there is long.
        """
        begin, end, *mark = header.get("clip") or (0.0, math.inf)
        if resume := header.get("resume"):
            begin, mark = max(begin, resume["seconds"] - LEAD_SECONDS), resume["mark"]
        start = Mark(*mark) if mark else BEGINNING
        clock = Clock()
        samples = decode(
            header["path"],
            header["max_audio_seconds"],
            track=header.get("audio_track"),
            start=start,
            clock=clock,
        )
        samples = itertools.chain([next(samples)], samples)  # Refused, where it is no audio, before all else
        samples, first = yield from clip(samples, begin, end, start.sample)
        gate = vad.SpeechDetector(self.speech_detector) if header.get("no_speech_gate", True) else None
        return Recording(samples, gate, first, clock)

    def transcribe(self, header: protocol.Header) -> Iterator[Message | None]:
        """
        Messages: length, start, then segment and progress for each window, then end; None between windows.

        A progress message has what another session needs to go on from there: *resume* in its header. Foreign: *header*
        lets it hand over, and the first text may not be English though the model knows nothing else, or it is English
        and the model knows more.
        """
        language = self.check(header["task"], header.get("language"), header.get("languages") or ())
        recording = yield from self.recording(header)
        yield Message({"kind": "length", "seconds": recording.clock.stated_seconds})
        yield None  # whoever has less to do comes first
        transcriber: Transcriber | None = None
        number, probability = 0, 1.0
        frame = round((header.get("clip") or [0.0])[0] * FRAMES_PER_SECOND)
        if resume := header.get("resume"):
            frame, number = round(resume["seconds"] * FRAMES_PER_SECOND), resume["segments"]
            task = self.task(header, resume["language"])
            transcriber = Transcriber(self.model, self.vocabulary, recording, task)
            transcriber.context, transcriber.said_until = resume["context"], resume["said_until"]
            yield self.start(resume["language"], probability, recording)

        def progress() -> Message:
            seconds = min(frame, recording.samples_read // HOP) / FRAMES_PER_SECOND
            found: protocol.Header = {"kind": "progress", "seconds": seconds}
            if transcriber is not None:
                found["resume"] = {
                    "seconds": seconds,
                    "mark": recording.clock.mark_before(max(0, round((seconds - LEAD_SECONDS) * RATE))),
                    "context": transcriber.context,
                    "said_until": transcriber.said_until,
                    "language": transcriber.task.language,
                    "segments": number,
                }
            return Message(found)

        while frames := recording.advance(frame):
            speech = recording.speech(frame, frame + frames)
            if speech is None or speech[0] - frame > LONGEST_PAUSE_FRAMES:
                if speech is not None:
                    frame = speech[0] - KEPT_FRAMES
                else:
                    frame += frames if recording.complete else frames - KEPT_FRAMES
                yield progress()
                if not recording.complete:
                    yield None
                continue
            if transcriber is not None and recording.complete and frames <= NEAR_FRAMES:
                break  # the end of a word that the last segment has: a window of it has words that nobody said
            if transcriber is not None:
                # Not after the window before: the end of a recording would wait until all others had their turn.
                yield None
            is_first = transcriber is None
            is_short = is_first and frames <= SHORT_FRAMES
            is_short = is_short and not (self.vocabulary.multilingual or header.get("temperature"))
            encoded = self.encode(
                recording, frame, frames, frames + PADDING_FRAMES if is_short else WINDOW_FRAMES
            )
            if transcriber is None:
                if language is None:
                    language, probability = self.heard_language(encoded, header.get("languages"))
                if header.get("hand_over") and self.vocabulary.multilingual and language == "en":
                    raise Foreign
                task = self.task(header, language)
                transcriber = Transcriber(self.model, self.vocabulary, recording, task)
            hypothesis, doubt = transcriber.best_hypothesis(encoded, frame, frames, is_short=is_short)
            if is_short and doubt:
                encoded = self.encode(recording, frame, frames)
                hypothesis, doubt = transcriber.best_hypothesis(encoded, frame, frames)
            if is_first:
                yield self.start(language, probability, recording)
            segments, next_frame = transcriber.segments(hypothesis, doubt, encoded, frame, frames)
            del encoded  # it would live on while other sessions take their turns
            for segment in segments:
                number += 1
                yield describe(number, frame, segment, hypothesis, recording)
            frame = next_frame
            yield progress()
        if transcriber is None:
            yield self.start(language, 0.0 if language is None else 1.0, recording)
        decoded = recording.samples_read / RATE
        yield Message({"kind": "end", "duration": recording.end_seconds, "decoded_seconds": decoded})

    def check(self, task: str, language: str | None, languages: Sequence[str] = ()) -> str | None:
        """The language to transcribe from, None where it is to be heard; Refused where this model can't."""
        if task not in ("transcribe", "translate"):
            raise invalid_request(f"the task {task!r} is unknown; transcribe or translate", "task")
        known = self.vocabulary.languages
        if unknown := sorted(set(languages) - set(known)):
            among = f"not among the languages of the model {self.name}; they are {', '.join(sorted(known))}"
            raise invalid_request(f"{', '.join(unknown)}: {among}", "languages[]")
        if language is not None and language not in known:
            accepted = ", ".join(sorted(known if self.vocabulary.multilingual else ["en"]))
            raise invalid_request(
                f"the language {language!r} is unknown; accepted are {accepted}", "language"
            )
        if self.vocabulary.multilingual:
            return language
        if task == "translate" or language not in (None, "en"):
            wish = "translate" if task == "translate" else f"transcribe {language!r}"
            raise protocol.Refused(
                "model_cannot_translate",
                f"the model {self.name} knows English only and can't {wish}; use a model without .en, such as base",
                "model" if task == "translate" else "language",
            )
        return "en"

    def task(self, header: protocol.Header, language: str) -> Task:
        """What *header* asks for, as the model reads it."""
        vocabulary = self.vocabulary
        sequence = [vocabulary.start]
        if vocabulary.multilingual:
            sequence += [
                vocabulary.number_of(f"<|{language}|>"),
                vocabulary.number_of("<|translate|>" if header["task"] == "translate" else "<|transcribe|>"),
            ]
        prompt, hotwords = header.get("prompt"), header.get("hotwords")
        return Task(
            language,
            sequence,
            prompt=vocabulary.encode(" " + prompt.strip()) if prompt else [],
            hotwords=vocabulary.encode(" " + hotwords.strip()) if hotwords else [],
            beam_size=header.get("beam_size") or 1,
            temperature=header.get("temperature"),
            word_timestamps=header.get("word_timestamps", False),
            condition_on_previous_text=header.get("condition_on_previous_text", True),
            may_be_foreign=header.get("hand_over", False) and not vocabulary.multilingual,
        )

    def encode(self, recording: Recording, frame: int, frames: int, length: int = WINDOW_FRAMES) -> Encoded:
        """The encoder's view of a window of *frames* with silence after it, *length* in all."""
        features = self.mel(recording.window(frame, frames), frames, length)
        release(self.code)
        view = extension().StorageView.from_array
        return view(self.encoder.encode(features)) if self.encoder else self.model.encode(view(features))

    def heard_language(self, encoded: Encoded, among: list[str] | None = None) -> tuple[str, float]:
        """The likeliest language of a window, of those *among* which it is, and how likely it is among all."""
        found = [(token[2:-2], probability) for token, probability in self.model.detect_language(encoded)[0]]
        return next(each for each in found if not among or each[0] in among)

    def start(self, language: str | None, probability: float, recording: Recording) -> Message:
        """The first message; the language is None where nobody spoke and none was asked for."""
        return Message(
            {
                "kind": "start",
                "language": language,
                "language_probability": probability,
                "model": self.name,
                "encoder": self.encoder.kernels.name if self.encoder else "ctranslate2",
                "stated_seconds": recording.clock.stated_seconds,
            }
        )


def describe(
    number: int, frame: int, segment: Segment, hypothesis: Hypothesis, recording: Recording
) -> Message:
    """*segment* as it travels, its times by the clock of *recording*."""

    def times(each: Segment | Word, near: float = NEAR_SECONDS) -> dict[str, float]:
        start, end = recording.span(each.start, each.end, near)
        return {"start": round(start, 2), "end": round(end, 2)}

    words = None
    if segment.words is not None:
        words = [
            {"word": word.text, **times(word, near=math.inf), "probability": word.probability}
            for word in segment.words
        ]
    return Message(
        {
            "kind": "segment",
            "id": number,
            "seek": round(recording.span(frame / FRAMES_PER_SECOND, math.inf)[0] * FRAMES_PER_SECOND),
            **times(segment),
            "text": segment.text,
            "tokens": segment.tokens,
            "temperature": hypothesis.temperature,
            "avg_logprob": hypothesis.avg_logprob,
            "compression_ratio": hypothesis.compression_ratio,
            "no_speech_prob": hypothesis.no_speech_prob,
            "words": words,
        }
    )
