"""What is fuzzed: each target is given bytes, and fails by any exception that is not the parser's own refusal."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable
from functools import cache

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.access.keys import Keys
from app.access.limits import RateLimiter
from app.config import ConfigError, Settings
from app.engine import protocol
from app.engine_process.tts import gtts, text
from app.errors import InvalidRequest, ServiceError
from app.http import params, requests
from app.http.openai_audio import SPEECH, TRANSCRIPTION
from app.http.params import SPEAK, TRANSCRIBE
from app.http.status import LONGEST_SECONDS, _seconds
from app.jobs.delivery import destination
from app.speech import languages, subtitles
from app.speech.transcription import Segment, Transcription

Target = Callable[[bytes], None]
LONGEST_SENTENCE = 200
NAMES = [field.name.upper() for field in dataclasses.fields(Settings)]


def message(data: bytes) -> None:
    """A message over the pipe; what is read is what would be sent."""
    reader, writer = os.pipe()
    with contextlib.ExitStack() as ends:
        ends.callback(os.close, reader)
        try:
            os.write(writer, data[:60_000])
        finally:
            os.close(writer)
        with contextlib.suppress(EOFError, protocol.Garbled):
            while True:
                assert isinstance(protocol.receive(reader).header, dict)


@cache
def _app() -> Flask:
    app = Flask(__name__)
    app.config.update(UPLOAD_DIR=None, MAX_UPLOAD_MB=1, MAX_CONTENT_LENGTH=1 << 20)
    return app


def form(data: bytes) -> None:
    """A form's body; its texts stay within their bound, and so does the recording."""
    with _app().test_request_context(
        method="POST", data=data, content_type="multipart/form-data; boundary=b", query_string={"a": "b"}
    ):
        refused = contextlib.suppress(ServiceError, HTTPException)
        with refused, requests.receive() as (given, upload):
            read_fields(given)
            texts = sum(len(value) for _, value in given.items(multi=True))
            assert texts <= requests.FIELD_LIMIT_BYTES + 1
            assert upload is None or 0 < upload.size_bytes <= len(data)


def body(data: bytes) -> None:
    """A JSON body."""
    context = _app().test_request_context(method="POST", data=data, content_type="application/json")
    with context, contextlib.suppress(ServiceError, HTTPException):
        read_fields(requests.receive_fields())


def read_fields(given: params.Fields) -> None:
    """Read *given* as each route would."""
    for table in (SPEAK, TRANSCRIBE, SPEECH, TRANSCRIPTION):
        with contextlib.suppress(InvalidRequest):
            params.read(table, given)


def query(data: bytes) -> None:
    """A window of time, in the query."""
    asked = {"QUERY_STRING": "window=" + data.decode("ascii", "ignore")}  # the worker lets nothing else in
    with _app().test_request_context(environ_overrides=asked), contextlib.suppress(InvalidRequest):
        assert 0 < _seconds("5m") <= LONGEST_SECONDS


def spoken(data: bytes) -> None:
    """A text to speak: what is left of it are letters, in sentences that fit."""
    try:
        cleaned, _ = text.clean(data.decode(errors="surrogatepass" if data[:1] == b"s" else "replace"))
    except (protocol.Refused, UnicodeDecodeError):
        return
    for sentence in text.sentences(cleaned, LONGEST_SENTENCE):
        assert 0 < len(sentence) <= LONGEST_SENTENCE
    assert all(0 < len(part) <= gtts.PART_LIMIT for part in gtts.parts(cleaned))


def mp3(data: bytes) -> None:
    """Google's answer: as it comes, and as audio."""
    assert gtts.mp3_seconds(data) >= 0
    gtts.AUDIO.search(data)


def language(data: bytes) -> None:
    """A language's tag or name."""
    written = data.decode(errors="replace")
    with contextlib.suppress(ValueError):
        assert languages.fitting(written)[0] == languages.normal(written)
        languages.same(written, "en")
    with contextlib.suppress(ValueError):
        assert languages.whisper_code(written) in languages.WHISPER


def settings(data: bytes) -> None:
    """The environment: a setting's number, and its value."""
    name = NAMES[data[0] % len(NAMES)] if data else "PORT"
    value = data[1:].decode(errors="replace")
    with contextlib.suppress(ConfigError):
        Settings.from_env({name: value})
    with contextlib.suppress(ConfigError):
        Keys(value).find([value, "x"])
    with contextlib.suppress(ConfigError):
        RateLimiter(value, None)  # type: ignore[arg-type] # nothing is counted


def address(data: bytes) -> None:
    """The URL of a webhook; a public one never names an address by its numbers that is not."""
    with contextlib.suppress(ValueError):
        found = destination(data.decode(errors="replace"), private=bool(len(data) % 2))
        assert found.host
        assert found.target.startswith("/")
        assert not set("\r\n \0") & set(found.host + found.target)


def captions(data: bytes) -> None:
    """Segments as subtitles: no text ends a cue, and none has an empty line."""
    said = data.decode(errors="replace")
    begin = len(data) / 7
    segments = [
        Segment(number, 0, begin + number, begin + number + len(part) / 9, part, [], 0, 0, 0, 0)
        for number, part in enumerate(said.split("|"))
    ]
    for written in subtitles.srt(segments, Transcription("")):
        assert written.count("-->") == 1
    for written in subtitles.vtt(segments, Transcription("")):
        assert written.count("-->") <= 1
        assert "\n\n" not in written.rstrip("\n")


GROUPS: dict[str, tuple[Target, ...]] = {
    "bytes": (message, form, body, mp3, query),
    "texts": (spoken, language, settings, address, captions),
}
DISPOSITION = b'--b\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n'
SEEDS: dict[str, list[bytes]] = {
    "message": [protocol.PREFIX.pack(13, 3) + b'{"session":1}' + b"abc", protocol.PREFIX.pack(2, 0) + b"{}"],
    "form": [
        DISPOSITION
        + b"RIFF\r\n--b\r\n"
        + DISPOSITION[5:].replace(b"audio", b"language")
        + b"en\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="beam_size"\r\n\r\n5\r\n--b--\r\n',
    ],
    "body": [
        json.dumps({"text": "Hello.", "speed": 1.5, "format": "wav", "voice": {"id": "alloy"}}).encode(),
        b'{"input": "a", "model": "tts-1", "voice": "nova", "timestamp_granularities[]": ["word"]}',
    ],
    "mp3": [b"\xff\xf3\x44\xc4" + bytes(140), b'["//NExAA","jQ1olc"]'],
    "query": [b"5m", b"3600s"],
    "spoken": [
        b"# Title\n\n* One: [a link](https://www.example.com/a?b=c)\n* Two **bold** `code`\n",
        "<speak>Dr. Smith said “e.g. 10² ℃”… <break time='1s'/>你好。 👨‍👩‍👧 ".encode(),
        b"| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n",
    ],
    "language": [b"de-AT", b"german", b"zh_CN"],
    "settings": [b"\x008000", b"\x05true", b"\x0a60/minute;1000/day", b"\x0bsha256:" + b"a" * 64],
    "address": [b"https://example.com:8443/a?b=c", b"https://[::ffff:7f00:1]/", b"http://2130706433/"],
    "captions": [b"Hello there. How are you today?|Fine --> thanks & <b>bye</b>", "你好。再见！".encode()],
}


def run(group: str, data: bytes) -> None:
    """Give *data* to the target of *group* that its first byte names."""
    if data:
        targets = GROUPS[group]
        targets[data[0] % len(targets)](data[1:])


def seeds(group: str) -> list[bytes]:
    """What to begin with."""
    return [
        bytes([number]) + seed
        for number, target in enumerate(GROUPS[group])
        for seed in SEEDS[target.__name__]
    ]
