"""
The formats of transcripts and of audio, a row for each.

Both APIs, `/openapi.json`, jobs, the command line, the page's list of audio formats and the speech engine go by these
tables: a row, with what renders it, is all that a new format needs. What a browser downloads of a transcript it makes
itself (`app/static/subtitles.js`).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from . import subtitles
from .transcription import Segment, Transcription, transcript_dict


class TranscriptFormat(NamedTuple):
    """
    How a transcript is written: *render* yields its text piece by piece, as segments come.

    What is known of the recording (language, seconds, model) is there when the last segment has come. *openai*: whether
    OpenAI's API has the format, too; what that has alone (`verbose_json`) is in `http/openai_audio.py`.
    """

    media_type: str
    suffix: str
    render: Callable[[Iterable[Segment], Transcription], Iterator[str]]
    openai: bool = True


def text(segments: Iterable[Segment], done: Transcription) -> Iterator[str]:
    """The text in one line, without spaces around it."""
    begun, space = False, ""
    for segment in segments:
        said = space + segment.text if begun else segment.text.lstrip()
        kept = said.rstrip()
        yield kept
        begun, space = begun or bool(kept), said[len(kept) :]
    yield "\n"


def as_json(segments: Iterable[Segment], done: Transcription) -> Iterator[str]:
    """JSON for people. Over HTTP each API has its own object, sent without line breaks."""
    yield json.dumps(transcript_dict(done, list(segments)), ensure_ascii=False, indent=2) + "\n"


TRANSCRIPTS = {
    "json": TranscriptFormat("application/json", ".json", as_json),
    "text": TranscriptFormat("text/plain", ".txt", text),
    "srt": TranscriptFormat("application/x-subrip", ".srt", subtitles.srt),
    "vtt": TranscriptFormat("text/vtt", ".vtt", subtitles.vtt),
}


class AudioFormat(NamedTuple):
    """
    How speech becomes a file: FFmpeg's names of *container* and *encoder*, with the options of both.

    *rates* are the sampling rates it is used at, the last one where the speech has none of them; none named: any.
    *bit_rate* is that of mono speech, in bits a second. A file is sent while it is made: it must be readable before
    anybody knows how long it will be (AIFF is not). The row is sent to the engine as it is.
    """

    media_type: str
    suffixes: tuple[str, ...]
    container: str
    encoder: str
    rates: tuple[int, ...] = ()
    bit_rate: int | None = None
    encoding: Mapping[str, str] = {}
    muxing: Mapping[str, str] = {}


# The encoders' quicker ways: by default each takes as long as the neural voice itself, 10 ms for a second
# of speech; so they take 5, 3 and 3.
AUDIO = {
    "mp3": AudioFormat(
        "audio/mpeg", (".mp3",), "mp3", "libmp3lame", (22050, 24000), 64000, {"compression_level": "7"}
    ),
    # A page every 100 ms: Ogg's usual second would hold back a whole short sentence.
    "opus": AudioFormat(
        "audio/ogg", (".opus", ".ogg"), "ogg", "libopus", (24000,), 40000,
        {"compression_level": "5"}, {"page_duration": "100000"},
    ),
    "aac": AudioFormat("audio/aac", (".aac",), "adts", "aac", (22050, 24000), 64000, {"aac_coder": "fast"}),
    "flac": AudioFormat("audio/flac", (".flac",), "flac", "flac"),
    # These two are made without PyAV, by `engine_process/tts/encode.py`.
    "wav": AudioFormat("audio/wav", (".wav",), "wav", "pcm_s16le"),
    # Samples without a header, at the rate that OpenAI's speech endpoint answers for "pcm".
    "pcm": AudioFormat("audio/pcm", (".pcm",), "s16le", "pcm_s16le", (24000,)),
}  # fmt: skip
