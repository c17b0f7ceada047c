"""
README's table of voices, measured: `python -m benchmarks.voices_table [--quick]` prints it.

Google is the tests' stand-in, which answers at once: its rows have our own part of the time, without the network's.
"""

import argparse
import statistics
from pathlib import Path

from app.config import Settings
from app.speech.languages import GTTS
from app.speech.voices import Voices, package_directory
from app.synthesizers import SYNTHESIZERS
from tests.gtts_stand_in import GttsStandIn

from .service import Service
from .synthesis import PROSE, speak
from .voices import FORTY, SETTINGS, peak_mb

HEADING = """\
| engine | sounds | voices | languages | on disk | whole service while it speaks, wav / mp3 | first byte, warm | \
time for 10 s of speech | licence |
|---|---|---:|---|---:|---:|---:|---:|---|"""
FEW = 8  # languages that are named; more are counted
BYTE_RATE = slice(28, 32)  # of a WAV header: bytes a second, little-endian


def row(engine: str, voices: Voices, text: str) -> str:
    """What one engine is like and what it takes."""
    spoken = [voice for voice in voices.all if voice.engine == engine]
    bases = sorted({voice.language.partition("-")[0] for voice in spoken})
    named = ", ".join(GTTS[base] for base in bases) if len(bases) <= FEW else str(len(bases))
    spec = SYNTHESIZERS[engine]
    first_ms, ten_seconds = speed(engine, text)
    peaks = " / ".join(f"{peak_mb(engine, form, text):.0f}" for form in ("wav", "mp3"))
    return (
        f"| `{engine}` | {spec.quality}, {'offline' if spoken[0].offline else 'by the network'} | {len(spoken)} "
        f"| {named} | {disk_mb(engine, voices):.0f} MB | {peaks} MB | {first_ms:.0f} ms | {ten_seconds:.2g} s "
        f"| {spec.licence} |"
    )


def speed(engine: str, text: str) -> tuple[float, float]:
    """Milliseconds to the first byte of 40 characters, and seconds for ten of speech; warm, as WAV, medians."""
    with GttsStandIn() as google, Service({**SETTINGS, "GTTS_URL": google.url}) as service:
        for each in (*FORTY, text):  # warm, and the stand-in has its speech
            speak(service, engine, each)
        first = [speak(service, engine, each).first_byte_seconds * 1000 for each in FORTY]
        answers = [speak(service, engine, text) for _ in range(3)]
    ten = [
        10 * one.seconds * int.from_bytes(one.body[BYTE_RATE], "little") / len(one.body) for one in answers
    ]
    return statistics.median(first), statistics.median(ten)


def disk_mb(engine: str, voices: Voices) -> float:
    """What its package or model takes, without Python's compiled files."""
    package = SYNTHESIZERS[engine].package
    place = package_directory(package) if package else voices.kokoro
    files = Path(place or "").rglob("*")
    size = sum(one.stat().st_size for one in files if one.is_file() and one.suffix != ".pyc")
    return max(size / (1 << 20), 1)


def main() -> None:
    """Print a row for each engine that is here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a shorter text")
    text = " ".join(PROSE)[: 500 if parser.parse_args().quick else 2000]
    voices = Voices(Settings.from_env())
    print(HEADING)
    for engine in voices.engines:
        print(row(engine, voices, text), flush=True)


if __name__ == "__main__":
    main()
