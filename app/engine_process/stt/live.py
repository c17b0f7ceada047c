"""
Live transcription: audio comes in as it is spoken, and its words go out meanwhile.

A step takes one piece of audio. The detector finds turns in it; while somebody speaks the turn is heard again and
again, each time as far as it has come. Words on which two passes agree stand: they are told at once, and the next pass
begins with them, so that the words told, joined, are the turn's text. The last pass is made while the silence that
ends a turn is still waited for. How often, with the numbers: docs/decisions/0072-live.md.
"""

import dataclasses
import string
import time
from collections.abc import Generator, Iterator

from ...engine import protocol
from ...engine.protocol import Message
from ...memory import trim_heap
from ..native import Encoded
from .generate import Hypothesis, Task
from .mel import HOP, RATE, WINDOW_FRAMES
from .pcm import Pcm
from .recording import LEAST_CHUNKS, Recording
from .vad import CHUNK, SpeechDetector
from .whisper import PADDING_FRAMES, SHORT_FRAMES, WhisperEngine
from .windows import ATTEMPTS, FRAMES_PER_TIMESTAMP, SURELY_ENGLISH, Doubt, Foreign, Transcriber
from .words import FRAMES_PER_SECOND

LIVE = "live"
LEAST_SAMPLES = RATE // 10 - RATE // 250  # of a turn: 100 ms, less what the resampler keeps back
KEPT_SAMPLES = RATE  # of what comes before a turn, beside its padding
FORGETFUL = 0.15  # speech goes on while its probability is not this much below where it began: Silero's own
NOISE_SECONDS = 0.3  # without speech, until what came before it was a noise

# A pass takes 0.1 to 0.2 s with tiny.en, for 3 to 10 s of audio; half of the engine's time goes into passes at most.
PASS_SECONDS, LEAST_PASS_SECONDS, COST_SHARE = 0.3, 0.7, 2.0
DRAFT_PADDING_FRAMES = 300  # of silence after what a pass hears
# A loop in a second of speech had 220 tokens, and took 0.9 s; nobody says ten in a second.
TOKENS_PER_SECOND, LEAST_TOKENS = 20, 20
# Of silence, until the last pass is made, and until it is made again with 30 s where it left doubt: most pauses within
# a sentence are shorter.
GUESS_SECONDS = 0.2, 0.35
ENGLISH_FRAMES = 200  # what is shorter may be any language
# From 15 s on, a pause ends a window and the turn goes on in the next one; at 25 s its last whole word does.
CUT_FRAMES, LONGEST_FRAMES = 1500, 2500
NEAR_END_SECONDS = 1.0

# Seconds of silence by eagerness: after a sentence that ended, and at most. Between them lies what may go on.
PAUSES = {"low": (1.0, 8.0), "medium": (0.6, 4.0), "high": (0.3, 2.0), "auto": (0.6, 4.0)}
SENTENCE_ENDS = ".?!。？！…"
UNFINISHED = frozenset(
    "a an and as at because but by for from if in into is of on or our so that the their then to uh um when which "
    "with your aber dass der die das ein eine mit oder und weil de et la le les mais ou que y o pero el un una".split()
)
Words = list[tuple[str, list[int]]]


class LiveEngine(WhisperEngine):
    """One model, with live sessions beside the recordings."""

    def __init__(self, options: protocol.Header) -> None:
        super().__init__(options)
        self.speaking: set[Session] = set()  # those in whose turn words are looked for

    def open(self, header: protocol.Header) -> Iterator[Message | None]:
        """What the task "live" finds, or any other."""
        return self.live(header) if header["task"] == LIVE else super().open(header)

    def live(self, header: protocol.Header) -> Generator[Message | None, Message]:
        """
        A session: each question is {"kind": "audio", "behind"} with bytes, "commit", "clear", "request" with what
        another *header* asks for, "leave", or "carried" with the audio of the session before.

        The answers are the events of `app.speech.live`, and "handed_over" with audio, which ends the session: where the
        model knows English only and hears something else, and after "leave".
        """
        session = Session(self, header)
        try:
            while True:
                question = yield None
                yield from session.answer(question)
                if question.header["kind"] == "leave":
                    raise Foreign
        except Foreign:
            yield session.handed_over()
        finally:
            self.speaking.discard(session)


class Session:
    """
    One stream: what is held of it, the turn in it, and its words so far. At most 30 s are held.

    Positions are samples at 16 kHz from the beginning of the session.
    """

    def __init__(self, engine: LiveEngine, header: protocol.Header) -> None:
        _ = engine.model, engine.encoder, engine.mel
        self.engine = engine
        self.recording = Recording(iter(()), SpeechDetector(engine.speech_detector))
        self.offset = header["begins_at"]  # seconds
        self.surely_english = False
        self.configure(header)
        self.chances: list[float] = []  # of speech, in the chunks that were not followed yet
        self.heard = 0  # as far as they were
        self.drop(0)

    def configure(self, header: protocol.Header) -> None:
        """From now on, as *header* asks."""
        self.language = self.engine.check("transcribe", header["language"], header["languages"])
        self.header, self.turns = header, header["turn_detection"]
        self.tasks: dict[str, Task] = {}
        self.pcm = Pcm(header["encoding"], header["rate"])
        self.threshold: float = self.turns["threshold"] if self.turns else self.recording.threshold
        self.recording.threshold = min(self.threshold, self.recording.threshold)
        # Samples before a turn's first word that belong to it.
        self.prefix: int = self.turns["prefix_padding_ms"] * RATE // 1000 if self.turns else 0

    def drop(self, begin: int) -> None:
        """Nothing is begun: what came before *begin* is a turn no more."""
        self.begin = begin  # of the turn; until somebody speaks, where it may begin
        self.ending: int | None = None  # of the turn that is over, until its text is known
        self.window: int | None = None  # the frame from which the turn is heard
        self.spoken = 0  # chunks of speech
        self.silent = 0  # samples since the last of them
        self.text = ""  # of the turn, as far as it was told
        self.transcriber: Transcriber | None = None
        self.next_window(begin)
        self.engine.speaking.discard(self)

    def next_window(self, begin: int) -> None:
        """What belongs to a window, from *begin* on."""
        self.draft: Words = []  # what the pass before found after the words that stand
        self.guess: str | None = None  # the window's text, if nobody goes on to speak
        self.guesses = 0  # how often it was looked for
        self.passed = begin  # as far as the last pass heard
        self.fresh = False  # whether somebody has spoken since
        self.wait_seconds = LEAST_PASS_SECONDS
        if self.transcriber:
            self.transcriber.stands = []

    def answer(self, question: Message) -> Iterator[Message]:
        """What *question* leads to."""
        kind = question.header["kind"]
        if kind == "request":
            self.configure(question.header)
        elif kind == "clear":
            self.drop(self.recording.samples_read)
            yield Message({"kind": "cleared"})
        elif kind == "commit":
            end = self.recording.samples_read
            if end - self.begin < LEAST_SAMPLES:
                yield Message({"kind": "empty"})
            else:
                yield from self.finish(end)
        elif kind == "leave":
            if self.text:
                yield from self.finish(self.recording.samples_read)
        elif kind == "carried":
            yield from self.take_over(question)
        else:
            self.chances += self.recording.take(self.pcm(question.payload))
            yield from self.follow(question.header["behind"])

    def handed_over(self) -> Message:
        """What another session needs to go on from here."""
        first = max(self.recording.first, self.begin if self.window is None else self.window * HOP)
        held = self.recording.held[first - self.recording.first :]
        return Message(
            {
                "kind": "handed_over",
                "begins_at": self.offset + first / RATE,
                "speaking": self.window is not None,
                "end": self.ending - first if self.ending is not None else None,
            },
            held.astype("<i2").tobytes(),
        )

    def take_over(self, question: Message) -> Iterator[Message]:
        """Go on with what another session had heard."""
        self.chances += self.recording.take(Pcm("pcm", RATE)(question.payload))
        end = question.header["end"]
        if question.header["speaking"]:
            self.open_window(0)
            self.fresh, self.spoken = True, LEAST_CHUNKS
            passed = len(self.chances) if end is None else end // CHUNK
            del self.chances[:passed]
            self.heard = passed * CHUNK
        if end is not None:
            yield from self.finish(end)
        yield from self.follow(behind=True)

    def follow(self, behind: bool) -> Iterator[Message]:
        """Turns in what came last; and, unless more audio waits already, the words so far."""
        while self.chances:
            self.heard += CHUNK
            yield from self.follow_chunk(self.chances.pop(0))
        if self.window is None:
            self.forget(self.heard - KEPT_SAMPLES - self.prefix)
            return
        yield from self.bound()
        if not behind:
            yield from self.listen()

    def forget(self, begin: int) -> None:
        """Let go of what comes before *begin*, where it is worth it."""
        if begin - self.recording.first > RATE:
            self.recording.forget(begin)

    def follow_chunk(self, chance: float) -> Iterator[Message]:
        """Whether a turn begins or ends with the chunk that ends where was *heard*."""
        speaking = self.window is not None
        if chance >= (self.threshold - FORGETFUL if speaking and self.spoken else self.threshold):
            if not self.spoken:
                self.first_spoken = self.heard - CHUNK
            self.spoken += 1
            self.silent, self.guess, self.guesses, self.fresh = 0, None, 0, True
        else:
            self.silent += CHUNK
        if not speaking:
            if self.silent > NOISE_SECONDS * RATE:
                self.spoken = 0
            if not self.turns:
                self.open_window(self.begin)
            elif self.spoken >= LEAST_CHUNKS:
                self.open_window(max(self.begin, self.first_spoken - self.prefix))
                yield self.event("speech_started", start=self.begin)
        elif self.turns and self.silent >= self.silence_seconds() * RATE:
            yield from self.finish(self.heard)

    def open_window(self, begin: int) -> None:
        """A turn begins."""
        self.begin = max(begin, self.recording.first)
        self.window = -(-self.begin // HOP)
        self.passed = self.begin

    def silence_seconds(self) -> float:
        """After which silence the turn is over."""
        if self.turns["kind"] != "semantic_vad":
            seconds: float = self.turns["silence_duration_ms"] / 1000
            return seconds
        least, most = PAUSES[self.turns["eagerness"]]
        text = (self.text + (self.guess or "")).rstrip()
        if not text:
            return most
        if text[-1] in SENTENCE_ENDS and not text.endswith("..."):
            return least
        last = text.split()[-1].casefold()
        return most if text[-1] not in "'\"" and (last in UNFINISHED or last[-1] in ",;:-") else most / 2

    def event(self, kind: str, **fields: int | str | None) -> Message:
        """An event; positions become seconds of the whole session."""
        seconds = {
            name: round(self.offset + value / RATE, 3) if isinstance(value, int) else value
            for name, value in fields.items()
        }
        return Message({"kind": kind, **seconds})

    def frames(self, end: int) -> int:
        """Of the window, up to *end*."""
        return max(0, min(WINDOW_FRAMES, end // HOP - (self.window or 0)))

    def bound(self) -> Iterator[Message]:
        """Have the window end where it becomes long; and let go of silence before anybody speaks."""
        window = self.window or 0
        if self.frames(self.heard) > LONGEST_FRAMES:
            yield from self.cut()
        elif self.guess is not None and self.frames(self.heard) >= CUT_FRAMES:
            # The window's text stands; the turn goes on with the next window.
            yield from self.tell(self.guess)
            self.window = self.heard // HOP
            self.next_window(self.heard)
        elif not self.recording.speech(window, self.heard // HOP):
            self.window = max(window, (self.heard - KEPT_SAMPLES) // HOP)
        self.forget((self.window or 0) * HOP - RATE // 10)

    def listen(self) -> Iterator[Message]:
        """The pass that is due, if one is."""
        if self.spoken < LEAST_CHUNKS or self.guess is not None:
            return
        if self.guesses < len(GUESS_SECONDS) and self.silent >= GUESS_SECONDS[self.guesses] * RATE:
            self.guess = self.conclude(self.heard, is_last=self.guesses > 0)
            self.guesses += 1
        elif (
            self.fresh
            and self.silent < LEAST_CHUNKS * CHUNK
            and self.header["deltas"]
            and self.heard - self.passed >= self.wait_seconds * RATE
        ):
            yield from self.draft_pass()

    def tell(self, text: str) -> Iterator[Message]:
        """*text* goes on the turn's."""
        text = text if self.text else text.lstrip()
        if text:
            self.text += text
            yield Message({"kind": "delta", "text": text})

    def finish(self, end: int) -> Iterator[Message]:
        """The turn is over: its text."""
        self.ending, speaking = end, self.window is not None
        if not speaking:
            self.open_window(self.begin)
        rest = self.guess if self.guess is not None else self.conclude(end)
        self.ending = None
        if self.turns and speaking:
            yield self.event("speech_stopped", end=end)
        yield self.event("committed", start=self.begin, end=end)
        yield from self.tell((rest or "").rstrip())
        language = self.transcriber.task.language if self.transcriber else self.language
        yield self.event("completed", text=self.text, language=language, start=self.begin, end=end)
        self.drop(end)
        # 4 ms, after the text was sent. Without it an hour in one session left 7 MB in the heap.
        trim_heap()

    def hear(self, frames: int, padding: int = WINDOW_FRAMES) -> tuple[Transcriber, Encoded]:
        """
        The first *frames* of the window, encoded with so many of silence after them, 3000 in all at most.

        And whoever writes this turn, which may be in any language until a word of it stands.
        """
        length = min(frames + padding, WINDOW_FRAMES)
        encoded = self.engine.encode(self.recording, self.window or 0, frames, length)
        writer = self.transcriber
        if writer is None or not (self.text or self.language):
            language = self.language or self.engine.heard_language(encoded, self.header["languages"])[0]
            if writer is None or writer.task.language != language:
                self.draft = []
                if language not in self.tasks:
                    self.tasks[language] = self.engine.task(self.header, language)
                writer = Transcriber(
                    self.engine.model, self.engine.vocabulary, self.recording, self.tasks[language]
                )
                writer.may_be_foreign &= not self.surely_english
                self.transcriber = writer
        writer.most_tokens = LEAST_TOKENS + TOKENS_PER_SECOND * frames // FRAMES_PER_SECOND
        return writer, encoded

    def conclude(self, end: int, *, is_last: bool = True) -> str | None:
        """
        What the window says until *end*, after the words that stand; heard with every care.

        None where it is doubtful, and this is not the *last* time it is asked.
        """
        frame, frames = self.window or 0, self.frames(end)
        if not self.recording.speech(frame, frame + frames):
            return ""
        is_short = frames <= SHORT_FRAMES and not (self.engine.vocabulary.multilingual or self.guesses)
        writer, encoded = self.hear(frames, PADDING_FRAMES if is_short else WINDOW_FRAMES)
        context = writer.context
        hypothesis, doubt = writer.best_hypothesis(encoded, frame, frames, is_short=is_short)
        if is_short and doubt:
            if not is_last:
                return None
            encoded = self.engine.encode(self.recording, frame, frames)
            hypothesis, doubt = writer.best_hypothesis(encoded, frame, frames)
        self.surely_english |= not writer.may_be_foreign
        vocabulary, tokens = self.engine.vocabulary, hypothesis.tokens
        if tokens and tokens[-1] < vocabulary.timestamp_begin:
            # Text that is not closed is heard again in the next window; here there is none, so it ends with this one.
            end_of_window = vocabulary.timestamp_begin + frames // FRAMES_PER_TIMESTAMP
            hypothesis = dataclasses.replace(hypothesis, tokens=[*tokens, end_of_window])
        segments, _ = writer.segments(hypothesis, doubt, encoded, frame, frames)
        writer.context = context
        text, stands = "".join(segment.text for segment in segments), vocabulary.decode(writer.stands)
        if segments and not text.startswith(stands):
            # A segment without speech was left out that had been told.
            text = vocabulary.decode(tokens)
        return text[len(stands) :]

    def draft_pass(self) -> Iterator[Message]:
        """One pass over the window so far: words on which it agrees with the one before stand."""
        began = time.monotonic()
        engine, frame, frames = self.engine, self.window or 0, self.frames(self.heard)
        engine.speaking.add(self)
        writer, encoded = self.hear(frames, DRAFT_PADDING_FRAMES)
        hypothesis = writer.search(encoded, ATTEMPTS[0], beam_size=1)
        # Unlikely words that two passes agree on stand, too: of a sentence that has just begun nearly all are.
        doubtful = hypothesis.silence or writer.doubt(hypothesis, encoded, frame, frames) >= Doubt.SILENCE
        if writer.may_be_foreign and not doubtful and frames >= ENGLISH_FRAMES:
            writer.may_be_foreign = hypothesis.avg_logprob < SURELY_ENGLISH
        self.passed, self.fresh = self.heard, False
        if doubtful or writer.may_be_foreign:
            self.draft = []
        else:
            yield from self.agree(writer, hypothesis)
        cost = time.monotonic() - began
        self.wait_seconds = max(PASS_SECONDS, COST_SHARE * cost * len(engine.speaking))

    def agree(self, writer: Transcriber, hypothesis: Hypothesis) -> Iterator[Message]:
        """Tell the words of *hypothesis* that the draft has too; the others are the next draft."""
        vocabulary, tokens = self.engine.vocabulary, hypothesis.tokens
        texts = [
            index
            for index, token in enumerate(tokens)
            if token < vocabulary.end_of_text and index >= len(writer.stands)
        ]
        words = vocabulary.words([tokens[index] for index in texts], writer.task.language)
        count = agreed(self.draft, words)
        self.draft = words[count:]
        if count:
            length = sum(len(numbers) for _, numbers in words[:count])
            writer.stands = tokens[: texts[length - 1] + 1]
            yield from self.tell("".join(text for text, _ in words[:count]))

    def cut(self) -> Iterator[Message]:
        """Nobody paused for long: the window's text stands up to a word near its end."""
        frame, frames = self.window or 0, self.frames(self.heard)
        writer, encoded = self.hear(frames)
        hypothesis, _ = writer.best_hypothesis(encoded, frame, frames)
        tokens = self.engine.vocabulary.text_tokens(hypothesis.tokens)
        stood = len(self.engine.vocabulary.text_tokens(writer.stands))
        segment = writer.segment(0.0, frames / FRAMES_PER_SECOND, tokens)
        words = writer.align([segment], encoded, frames)
        length, text, end = 0, "", frames / FRAMES_PER_SECOND
        for word in words:
            if length >= stood and word.end > frames / FRAMES_PER_SECOND - NEAR_END_SECONDS:
                break
            length, end = length + len(word.tokens), word.end
            text += word.text if length > stood else ""
        yield from self.tell(text)
        self.window = frame + max(1, min(frames, round(end * FRAMES_PER_SECOND)))
        self.next_window(self.window * HOP)
        self.fresh = True


def agreed(old: Words, new: Words) -> int:
    """How many of the *new* words the *old* begin with, whatever their punctuation and capitals."""
    older = iter([bare(text) for text, _ in old if bare(text)])
    count = 0
    for index, (text, _) in enumerate(new, 1):
        if word := bare(text):
            if word != next(older, None):
                break
            count = index
    return count


def bare(text: str) -> str:
    """A word without punctuation and capitals."""
    return text.strip(string.whitespace + string.punctuation).casefold()
