"""The proof: a sentence is spoken and transcribed."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing

from ...config import ConfigError, Settings
from ...errors import ServiceError
from .. import engines
from .finding import Finding, error, well

SENTENCE = "The meeting starts at ten. Please bring the report with you."
UNDERSTOOD = 0.5  # of the words: espeak-ng is hard to understand for a small model


def speech_and_back(settings: Settings) -> Iterator[Finding]:
    """Whether the words that are spoken come back as text."""
    from ...speech.chain import SpeakRequest
    from ...speech.serializers import whole_text
    from ...speech.transcription import TranscriptionRequest

    began = time.monotonic()
    try:
        with engines.speech(settings) as speech, tempfile.NamedTemporaryFile(suffix=".wav") as file:
            request = SpeakRequest(text=SENTENCE, format="wav", stream=False)
            with closing(speech.speak(request, engines.wanted)) as spoken:
                file.writelines(spoken.audio)
                file.flush()
            if speech.transcriber is None:
                yield well("trial", f"{spoken.voice} spoke; transcription is off")
                return
            asked = TranscriptionRequest(path=file.name, language="en")
            with closing(speech.transcribe(asked, engines.wanted)) as transcription:
                heard = whole_text(transcription)
    except (ServiceError, ConfigError) as problem:
        yield error("trial", str(problem), "the lines above name the cause")
        return
    took = f"{time.monotonic() - began:.1f} s"
    said = words(SENTENCE)
    if len(said & words(heard)) < UNDERSTOOD * len(said):
        yield error(
            "trial", f"{spoken.voice} said {SENTENCE!r} and {heard!r} was heard", "fetch the model again"
        )
    else:
        yield well("trial", f"{spoken.voice} spoke and was understood, {took}")


def words(text: str) -> set[str]:
    """The words of *text*, without case and punctuation."""
    return set("".join(letter if letter.isalpha() else " " for letter in text.lower()).split())
