"""
What the offline voices weigh, how soon and how fast they speak, how loud, and whether they are understood.

Kokoro has to be there (`python -m app voices fetch kokoro`), and for the last part the model base. Twenty sentences of
each language (`tests/data/sentences.json`) are spoken and transcribed; before they are compared, punctuation goes and
numbers up to ten are words.
"""

import io
import json
import re
import statistics
import tempfile
import threading
import wave
from collections.abc import Iterator
from pathlib import Path

import jiwer

from app.synthesizers import SYNTHESIZERS
from tests.gtts_stand_in import GttsStandIn
from tests.loudness import lufs

from .cgroup import MemoryGroup
from .recordings import CLIP, ROOT
from .service import Service, processors
from .stock import Stock
from .synthesis import LONG_TEXT, PROSE, SENTENCES, alternating, speak
from .table import Row, main
from .weighing import Peak

TEXTS = json.loads((ROOT / "tests" / "data" / "sentences.json").read_text())
SETTINGS = {"TTS_CACHE_MB": "0", "ENGINE_IDLE_SECONDS": "600", "KOKORO": "true", "MEMORY_BUDGET_MB": "1000"}
LIMITS_MB = {"kokoro": 330.0, "neural": 280.0, "pico": 80.0, "espeak": 75.0}
FORTY = [sentence[:40].rpartition(" ")[0] + "." for sentence in SENTENCES]
ENDLESS = "and on it goes without a stop " * 40
LANGUAGES = {
    "kokoro": {"en": 4.0, "es": 8.0, "fr": 8.0, "it": 8.0, "pt": 8.0},  # word errors of at most, in percent
    "pico": {"en": None, "de": None, "es": None, "fr": None, "it": None},
    "espeak": {"en": None, "de": None, "es": None, "fr": None, "it": None},
}
# As base writes them, and as they were sent.
NUMBERS = {"en": {"10": "ten"}, "es": {"10": "diez"}, "fr": {"10": "dix"}, "it": {"10": "dieci"},
           "pt": {"10": "dez"}, "de": {"10": "zehn"}}  # fmt: skip
CLIENTS_ROUNDS = 20


def measure(quick: bool) -> Iterator[Row]:
    """Weights, first bytes, time beside the model, loudness, a small control group, words."""
    yield from weights()
    yield from first_bytes(5 if quick else 20)
    yield from beside_model(2 if quick else 9)
    yield from together(3 if quick else CLIENTS_ROUNDS)
    yield from understood(4 if quick else 20)


def weights() -> Iterator[Row]:
    """Of the whole service: each engine with prose, and Kokoro with a sentence that does not end."""
    for engine in SYNTHESIZERS:
        for form in ("wav", "mp3"):
            peak = peak_mb(engine, form)
            yield Row(f"peak while {engine} speaks prose, {form}", peak, "MB", LIMITS_MB.get(engine))
    endless = peak_mb("kokoro", "wav", ENDLESS)
    yield Row("peak while kokoro speaks a sentence without end, wav", endless, "MB", LIMITS_MB["kokoro"])


def peak_mb(engine: str, form: str, text: str = " ".join(PROSE)[:2000]) -> float:
    """
    PSS of the whole service, freshly started, while *engine* speaks *text* for the first time.

    Google is the tests' stand-in, whose speech was made before.
    """
    with GttsStandIn() as google:
        settings = {**SETTINGS, "GTTS_URL": google.url}
        if engine == "gtts":
            with Service(settings) as service:
                speak(service, engine, text, form)
        with Service(settings) as service, Peak(service.pid) as peak:
            speak(service, engine, text, form)
    return peak.total_mb


def first_bytes(rounds: int) -> Iterator[Row]:
    """Of one sentence of 40 characters, warm."""
    with Service(SETTINGS) as service:
        for engine, limit in (("kokoro", 900.0), ("pico", None)):
            speak(service, engine, FORTY[-1])
            times = [speak(service, engine, text).first_byte_seconds * 1000 for text in FORTY[:rounds]]
            yield Row(f"first byte, {engine}, 40 characters, warm", statistics.median(times), "ms", limit)


def beside_model(rounds: int) -> Iterator[Row]:
    """Texts of one piece, of a few and of many through HTTP, and the same pieces by the model, alternating."""
    with Service(SETTINGS) as service, Stock("kokoro", str(processors())) as model:
        for text in (FORTY[-1], LONG_TEXT[:300], LONG_TEXT):
            ours, theirs = alternating(service, "kokoro", model, text, rounds)
            what = f"kokoro, {len(text)} characters"
            yield Row(f"{what}, the model called directly", theirs, "s")
            yield Row(f"{what}, through HTTP", ours, "s", 1.15 * theirs)


def together(rounds: int) -> Iterator[Row]:
    """In a control group of 512 MB, Kokoro and tiny.en asked at the same time."""
    settings = {**SETTINGS, "MEMORY_BUDGET_MB": "", "WHISPER_MODEL": "tiny.en", "TTS_ENGINE": "auto"}
    answers: list[int] = []
    try:
        with (
            MemoryGroup(512) as group,
            Service(settings, command_prefix=group.command_prefix) as service,
        ):
            for number in range(rounds):
                text = SENTENCES[number % len(SENTENCES)]
                asks = [
                    threading.Thread(
                        target=lambda text=text: answers.append(
                            service.speak(text=text, engine="kokoro").status
                        )
                    ),
                    threading.Thread(target=lambda: answers.append(service.transcribe(CLIP.path).status)),
                ]
                for ask in asks:
                    ask.start()
                for ask in asks:
                    ask.join()
            yield Row(
                "512 MB, both at once: answers that are not 200", sum(one != 200 for one in answers), "", 0
            )
            yield Row("512 MB, both at once: processes killed by the kernel", group.kills, "", 0)
            yield Row("512 MB, both at once: peak as the kernel counts", group.peak_mb, "MB")
    except PermissionError as error:
        yield Row("512 MB: not measured, no control group can be made here", error.errno, "")


def understood(sentences: int) -> Iterator[Row]:
    """Word errors of base's transcription, and the loudness of the same audio."""
    with Service({**SETTINGS, "WHISPER_MODEL": "base"}) as service, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentence.wav"
        for engine, languages in LANGUAGES.items():
            for language, limit in languages.items():
                said, heard, pcm, rate = [], [], b"", 0
                for text in TEXTS[language][:sentences]:
                    answer = service.speak(text=text, engine=engine, language=language, format="wav")
                    path.write_bytes(answer.body)
                    with wave.open(io.BytesIO(answer.body)) as file:
                        rate = file.getframerate()
                    pcm += answer.body[44:]
                    said.append(plain(text, language))
                    heard.append(plain(service.transcribe(path, language=language).json["text"], language))
                errors = 100 * float(jiwer.wer(said, heard))
                yield Row(f"{engine}, {language}, {len(said)} sentences, word errors", errors, "%", limit)
                yield Row(
                    f"{engine}, {language}, loudness, off -23 LUFS", abs(lufs(pcm, rate) + 23), "dB", 2.0
                )


def plain(text: str, language: str) -> str:
    """*text* in lower case, without punctuation."""
    words = re.findall(r"\w+", text.lower())
    return " ".join(NUMBERS[language].get(word, word) for word in words)


if __name__ == "__main__":
    main(measure)
