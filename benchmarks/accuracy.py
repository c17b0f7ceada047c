"""
Word error rate on clean synthetic speech against its true text, through the server and by the stock call.

Before they are compared both texts are put in lower case, hyphens become spaces, punctuation goes, and
numbers up to ninety-nine and a few abbreviations are written as words: how a word is written is not what
is measured.
"""

import re
from collections.abc import Iterator

import jiwer

from .recordings import long_recording
from .service import Service, processors
from .stock import stock_whisper
from .table import Row, main

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
    main(measure)
