"""The speech engine: text to the bytes of an audio file, sentence by sentence."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

from ...engine import protocol
from ...engine.scripts import runs
from ...synthesizers import SYNTHESIZERS
from .encode import PLAIN, Raw
from .gtts import Gtts, mp3_seconds
from .synthesizer import SpeechOptions, Synthesizer
from .text import clean, letters

ENDS_SENTENCE = re.compile(r"[.!?…。！？]\W*$|\n *$")
PAYLOAD_BYTES = 1 << 20  # of one message


class SpeechEngine:
    """
    What the speech process serves; a synthesizer is loaded when it is first asked for, and then kept.

    *options*: by name, what each that needs something is made with.
    """

    def __init__(self, options: protocol.Header) -> None:
        self._options = options
        self._loaded: dict[str, Synthesizer] = {}

    def open(self, header: protocol.Header) -> Iterator[protocol.Message | None]:
        """
        Speak `text` with `engine`, `voice`, `language`, `speed`, `pitch` in `format` (see `encoder`), each
        answer of a network within `within_seconds`. The voice reads `scripts`; `others` has [voice, language] for
        more scripts.

        {"kind": "start", "engine", "voice", "sample_rate", "skipped": {what: letters}}, then {"kind": "audio"}
        with bytes of the file,
        a step being one sentence, then {"kind": "end", "duration", "patches": [[offset, hex], ...], "words"}:
        with `timed` what is said, as [word, start, end] in seconds; null where the synthesizer does not know.
        """
        name = header["engine"]
        if name not in self._loaded:
            # Imported when it is asked for: what is not used does not weigh anything.
            module, _, class_name = SYNTHESIZERS[name].made_by.partition(":")
            made_by = getattr(import_module(f".{module}", __package__), class_name)
            self._loaded[name] = made_by(**self._options.get(name, {}))
        synthesizer = self._loaded[name]
        speed = header["speed"]
        slowest, fastest = synthesizer.speeds
        as_asked = ("voice", "language", "pitch", "within_seconds", "scripts", "others")
        options = SpeechOptions(
            **{name: header[name] for name in as_asked},
            speed=min(max(speed, slowest), fastest),
            words=[] if header.get("timed") else None,
        )
        text, skipped = clean(header["text"])
        parts = list(split_by_voice(text, options, skipped))
        if not any(letters(part) for part, _ in parts):
            raise protocol.Refused("nothing_to_say", "the text has no word that this voice can say", "text")
        start = {
            "kind": "start",
            "engine": name,
            "voice": options.voice,
            "skipped": dict(skipped),
        }
        if isinstance(synthesizer, Gtts) and header["format"]["container"] == "mp3" and speed == 1.0:
            return pass_through(synthesizer, parts, start)
        tempo = speed / options.speed
        file = encoder(header["format"], synthesizer.sample_rate, tempo=tempo)
        return encode(synthesizer, parts, file, start, tempo)


def encoder(format: protocol.Header, rate: int, *, tempo: float = 1.0) -> Raw:
    """
    An encoder for speech sampled at *rate*, to be played *tempo* times as fast at the same pitch.

    *format* is a row of the table AUDIO in `speech/formats.py`.
    """
    rates, plain = format["rates"], PLAIN.get(format["container"])
    own_rate = rate if not rates or rate in rates else rates[-1]
    if plain and own_rate == rate and tempo == 1.0:
        return plain(rate)
    # Imported here: PyAV weighs 22 MB, and espeak-ng speaks WAV without it.
    first = f"{__package__}.compress" not in sys.modules
    from .compress import Compressor, Resampler

    if first:
        # Loading it touches 11 MB of code, of which encoding needs half again; 10 ms, once.
        from ..native import release, unchanged_mappings

        release(unchanged_mappings())
    file = plain(own_rate) if plain else Compressor(format, own_rate)
    if own_rate == rate and tempo == 1.0:
        return file
    return Resampler(file, rate, tempo=tempo)


Parts = list[tuple[str, SpeechOptions]]  # of a text, each for one voice


def encode(
    synthesizer: Synthesizer, parts: Parts, file: Raw, start: protocol.Header, tempo: float
) -> Iterator[protocol.Message | None]:
    """Synthesize and encode; a step is one sentence."""
    yield protocol.Message({**start, "sample_rate": file.sample_rate})
    words, seconds = [], 0.0
    for text, options in parts:
        for samples in synthesizer.speak(text, options):
            yield from audio(file.feed(samples))
            for word, begin, end in options.words or ():
                words.append([word, *(round((seconds + at) / tempo, 3) for at in (begin, end))])
            if options.words:
                options.words.clear()
            seconds += len(samples) / 2 / synthesizer.sample_rate
            yield None
    yield from audio(file.finish())
    patches = [[offset, written.hex()] for offset, written in file.patches]
    duration = file.samples / file.sample_rate
    yield protocol.Message({"kind": "end", "duration": duration, "patches": patches, "words": words or None})


def pass_through(
    synthesizer: Gtts, parts: Parts, start: protocol.Header
) -> Iterator[protocol.Message | None]:
    """Google's own mp3 as it comes, without PyAV and without a second loss of quality."""
    yield protocol.Message({**start, "sample_rate": synthesizer.sample_rate})
    duration = 0.0
    for text, options in parts:
        for mp3 in synthesizer.recordings(text, options):
            duration += mp3_seconds(mp3)
            yield from audio(mp3)
            yield None
    yield protocol.Message({"kind": "end", "duration": duration, "patches": [], "words": None})


def split_by_voice(
    text: str, options: SpeechOptions, skipped: Counter[str]
) -> Iterator[tuple[str, SpeechOptions]]:
    """*text* in parts, each for one voice; letters that none can say are left out and counted in *skipped*."""
    parts: Parts = []
    for script, run in runs(text):
        speaker = options
        if script and script not in options.scripts:
            if script not in options.others:
                skipped[script] += letters(run)
                continue
            voice, language = options.others[script]
            speaker = replace(options, voice=voice, language=language)
        elif not script and parts and not letters(run):
            speaker = parts[-1][1]  # signs and spaces belong to what stands before them
        if parts and parts[-1][1] == speaker:
            parts[-1] = parts[-1][0] + run, speaker
        else:
            parts.append((run, speaker))
    for number, (part, speaker) in enumerate(parts, 1):
        yield part, replace(speaker, final_pause=number == len(parts) or bool(ENDS_SENTENCE.search(part)))


def audio(encoded: bytes) -> Iterator[protocol.Message]:
    """*encoded* as messages; none for nothing."""
    for begin in range(0, len(encoded), PAYLOAD_BYTES):
        yield protocol.Message({"kind": "audio"}, encoded[begin : begin + PAYLOAD_BYTES])
