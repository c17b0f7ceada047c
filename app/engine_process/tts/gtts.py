"""
The natural voice of the network: Google Translate's, through the package gTTS.

gTTS prepares the requests; they are sent from here, because gTTS sends them without checking the
server's certificate, follows redirects anywhere, and has no limit on the whole exchange.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...engine import protocol
from .synthesizer import SpeechOptions, installed
from .text import sentences

if TYPE_CHECKING:
    import requests

ENDPOINT = "https://translate.google.com/_/TranslateWebserverUi/data/batchexecute"
PART_LIMIT = 100  # characters Google takes at once (gTTS.GOOGLE_TTS_MAX_CHARS)
PAUSES = ".,;:!?…。，！？；：、।\"'”’)]"
ANSWER_LIMIT = 4 << 20  # bytes; 100 characters are about 60 kB
CONNECT_SECONDS, READ_SECONDS = 3.05, 5.0
AUDIO = re.compile(rb'jQ1olc","\[\\"([A-Za-z0-9+/=]+)\\"]')


class Gtts:
    """Google Translate's voice; every part of a text is one request to *url*."""

    sample_rate = 24000
    speeds = (1.0, 1.0)  # it has "slow" as well, which is a different voice; time stretching does both ways

    def __init__(self, url: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = url or ENDPOINT, clock
        installed("gtts", "gTTS", "gTTS")

    def speak(self, text: str, options: SpeechOptions) -> Iterator[bytes]:
        """16-bit mono samples of *text*, one part at a time."""
        from .compress import NotAudio, decoded

        for mp3 in self.recordings(text, options):
            try:
                yield decoded(mp3, self.sample_rate)
            except NotAudio:
                raise failed("it answered with something that is not mp3") from None

    def recordings(self, text: str, options: SpeechOptions) -> Iterator[bytes]:
        """The mp3 of each part of *text*; Refused when one does not come in time."""
        import gtts
        import requests

        with requests.Session() as session:
            session.headers.update(gtts.gTTS.GOOGLE_TTS_HEADERS)
            for part in parts(text):
                # Its language table is checked by the web side; asking it would be one more request.
                for body in gtts.gTTS(part, lang=options.language, lang_check=False).get_bodies():
                    yield self._ask(session, body, options.within_seconds)

    def _ask(self, session: requests.Session, body: str, within_seconds: float) -> bytes:
        import requests

        answer = bytearray()
        deadline = self._clock() + within_seconds
        timeout = (min(CONNECT_SECONDS, within_seconds), min(READ_SECONDS, within_seconds))
        try:
            with session.post(
                self._url, data=body, timeout=timeout, allow_redirects=False, stream=True
            ) as response:
                if response.status_code != 200:
                    raise failed(f"it answered {response.status_code} {response.reason}")
                for chunk in response.iter_content(1 << 16):
                    answer += chunk
                    if len(answer) > ANSWER_LIMIT:
                        raise failed(f"its answer is larger than {ANSWER_LIMIT >> 20} MiB")
                    if self._clock() > deadline:
                        raise failed("its answer took too long")
        except requests.Timeout:
            raise failed(f"it did not answer within {sum(timeout):.0f} s") from None
        except requests.RequestException as problem:
            raise failed(f"it can't be reached ({type(problem).__name__})") from None
        with contextlib.suppress(binascii.Error):
            if found := AUDIO.search(answer):
                return base64.b64decode(found[1], validate=True)
        raise failed("its answer holds no audio")


def failed(reason: str) -> protocol.Refused:
    """The error after which the next synthesizer is asked."""
    return protocol.Refused("synthesis_failed", f"Google Translate's voice can't be had: {reason}")


def parts(text: str) -> Iterator[str]:
    """*text* in parts of at most PART_LIMIT characters, cut where sentences end if at all possible."""
    part = ""
    for sentence in sentences(text, PART_LIMIT):
        if part and len(part) + 2 + len(sentence) > PART_LIMIT:
            yield part
            part = ""
        # A heading or an item of a list has no full stop; without one it would run into what follows.
        pause = "" if not part or part[-1] in PAUSES else ","
        part = f"{part}{pause} {sentence}" if part else sentence
    if part:
        yield part


def mp3_seconds(mp3: bytes) -> float:
    """How long *mp3* plays, by its frames' headers (ISO/IEC 11172-3 and 13818-3, layer III)."""
    seconds, position = 0.0, 0
    while position + 4 <= len(mp3):
        first, second, third = mp3[position], mp3[position + 1], mp3[position + 2]
        version, rate_index, bits_index = second >> 3 & 3, third >> 2 & 3, third >> 4
        if first != 0xFF or second & 0xE6 != 0xE2 or version == 1 or rate_index == 3 or bits_index in (0, 15):
            position += 1
            continue
        rate = (44100, 48000, 32000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
        kilobits = (V1_KILOBITS if version == 3 else V2_KILOBITS)[bits_index - 1]
        samples = 1152 if version == 3 else 576
        seconds += samples / rate
        position += samples // 8 * kilobits * 1000 // rate + (third >> 1 & 1)
    return seconds


V1_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
V2_KILOBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
