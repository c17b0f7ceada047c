"""
Word error rate on clean synthetic speech against its true text, through the server and by the stock call.

With `--clips FOLDER` on recordings of people instead: FOLDER has a `clips.tsv` with at least the columns `file`,
`language` (a code) and `transcript`. English is heard by tiny.en, the rest by base; both have to be in MODEL_DIR.

Before they are compared both texts are put in lower case, hyphens become spaces, punctuation goes, and
numbers up to ninety-nine and a few abbreviations are written as words: how a word is written is not what
is measured.
"""

import argparse
import csv
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import jiwer

from app.config import Settings
from app.speech.fetch import fetch

from .recordings import long_recording
from .service import Service, processors
from .stock import Stock, stock_whisper
from .table import HEADING, Row, main

# fmt: off
UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
         "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
# fmt: on
ABBREVIATIONS = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint"}
WORSE_THAN_STOCK_AT_MOST = 0.3  # percentage points, issue 3


def measure(quick: bool) -> Iterator[Row]:
    """Of 10 minutes at beam sizes 1 and 5, and of an hour with its paragraphs in other orders."""
    recordings = [long_recording(10)] if quick else [long_recording(10), long_recording(60)]
    with stock_whisper(processors()) as stock:
        for recording in recordings:
            for beam_size in (1,) if quick or recording.seconds > 600 else (1, 5):
                heard = stock.ask(path=str(recording.path), beam_size=beam_size)["text"]
                of_stock = word_errors(recording.text, heard)
                with Service({"WHISPER_BEAM_SIZE": str(beam_size)}) as service:
                    ours = word_errors(recording.text, service.transcribe(recording.path).json["text"])
                what = f"word errors, {recording.seconds // 60:.0f} min, beam {beam_size}"
                yield Row(f"{what}, stock call", of_stock, "%")
                yield Row(what, ours, "%", of_stock + WORSE_THAN_STOCK_AT_MOST)


def measure_clips(folder: Path) -> Iterator[Row]:
    """The words that are wrong in each clip: at most one more than by the stock call, and in all no more."""
    with (folder / "clips.tsv").open() as lines:
        clips = list(csv.DictReader(lines, delimiter="\t"))
    counted, wrong = {"stock": 0, "ours": 0}, {}
    for model in ("tiny.en", "base"):
        heard_here = [clip for clip in clips if (clip["language"] == "en") == (model == "tiny.en")]
        path = str(fetch(model, Path(Settings.from_env().model_dir), whole=True))
        with (
            Stock("whisper", path, str(processors())) as stock,
            Service({"WHISPER_MODEL": model, "WHISPER_BEAM_SIZE": "1"}) as service,
        ):
            for clip in heard_here:
                recording, language = folder / clip["file"], clip["language"]
                heard = stock.ask(path=str(recording), beam_size=1, language=language)["text"]
                wrong["stock"] = wrong_words(clip["transcript"], heard)
                heard = service.transcribe(recording, language=language).json["text"]
                wrong["ours"] = wrong_words(clip["transcript"], heard)
                counted = {whose: counted[whose] + wrong[whose] for whose in counted}
                yield Row(f"{clip['file']}, stock call", wrong["stock"], "words")
                yield Row(clip["file"], wrong["ours"], "words", wrong["stock"] + 1)
    yield Row("all clips, stock call", counted["stock"], "words")
    yield Row("all clips", counted["ours"], "words", counted["stock"])


def wrong_words(true_text: str, heard: str) -> int:
    """How many words of *true_text* were heard wrong, not heard, or added; characters where words have no spaces."""
    true_words, heard_words = (" ".join(_words(text)) for text in (true_text, heard))
    found = jiwer.process_words(true_words, heard_words)
    return found.substitutions + found.deletions + found.insertions


def _words(text: str) -> list[str]:
    spaced = "".join(
        f" {letter} " if unicodedata.east_asian_width(letter) in "WF" else letter for letter in text
    )
    return normalized(spaced).split() if spaced.isascii() else re.findall(r"\w+", spaced.lower())


def word_errors(true_text: str, heard: str) -> float:
    """Percent of *true_text*'s words that were heard wrong, not heard, or added."""
    return 100 * float(jiwer.wer(normalized(true_text), normalized(heard)))


def normalized(text: str) -> str:
    """*text* as it is compared: see this module's docstring."""
    words = re.sub(r"[^a-z0-9' ]+", " ", text.lower().replace("\u2019", "'")).split()
    return " ".join(_spelled(word.strip("'")) for word in words if word.strip("'"))


def _spelled(word: str) -> str:
    if word.isdecimal() and int(word) < 100:
        number = int(word)
        if number < 20:
            return UNITS[number]
        return TENS[number // 10 - 2] + (f" {UNITS[number % 10]}" if number % 10 else "")
    return ABBREVIATIONS.get(word, word)


if __name__ == "__main__":
    if "--clips" in sys.argv:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument(
            "--clips", type=Path, metavar="FOLDER", help="recordings of people, with clips.tsv"
        )
        print(HEADING)
        for row in measure_clips(parser.parse_args().clips):
            print(row, flush=True)
    else:
        main(measure)
