"""
Every synthesizer in one table, best first: settings, routes, the doctor, the page and the engine read it here.

To add one:

1. Its module in `app/engine_process/tts/`, with a class of the protocol `Synthesizer` (`synthesizer.py`; `pico.py` is
   the shortest), which is made without arguments. It may read files and compute, but start no program (`sandbox.py`).
2. Its row here, where TTS_ENGINE=auto is to ask it, with its voices.
3. Its package in `requirements.in`, then `make requirements`; `.env.example`, which is printed again.
4. Its row in the README; its limit in `benchmarks/voices.py`; its place in the lists of `tests/speech/`, and in
   `VOICES` of `tests/engine_process/tts/test_speech.py`, which has it tried.

Two things more only if it needs them: voices that have to be found on the machine have a function in `Voices._spoken`
of `app/speech/voices.py`, and arguments for the class stand in `Synthesis.__init__` of `app/speech/synthesis.py`. A
model that is fetched instead of a package is Kokoro's alone so far (`app/speech/fetch.py`).
"""

from typing import NamedTuple


class FixedVoice(NamedTuple):
    """A voice that is there wherever its synthesizer is."""

    key: str  # what the synthesizer calls it
    language: str  # its tag
    language_name: str  # in English
    gender: str
    best_for: str = ""  # a further tag of which it is the best voice, such as "en" for American English


class SynthesizerSpec(NamedTuple):
    """What everybody has to know of a synthesizer before it is loaded."""

    name: str  # in requests, settings and metrics
    label: str  # for people
    made_by: str  # the module in `app/engine_process/tts/` and the class in it, a `Synthesizer`
    package: str  # what is imported of it; "": its model is fetched, as Kokoro's
    memory_mb: float  # PSS the engine process grows to; `benchmarks/voices.py` measures the whole service
    disk_mb: int  # of its package or model
    quality: str  # "natural", "parametric" or "robotic"
    licence: str
    remedy: str  # what to do where it can't speak
    summary: str = ""  # what the doctor says of it where it can
    sends_texts_to: str = ""  # whom; "": it is offline
    has_pitch: bool = False
    voices: tuple[FixedVoice, ...] = ()  # none: `app/speech/voices.py` finds those that are on this machine


# TTS_ENGINE=auto asks them in this order: natural and online, natural where it was fetched, natural in English, clear
# in six voices, always there.
SYNTHESIZERS = {
    one.name: one
    for one in (
        SynthesizerSpec(
            "gtts", label="gTTS", made_by="gtts:Gtts", package="gtts", memory_mb=50.0, disk_mb=1,
            quality="natural", licence="Google's terms of service", sends_texts_to="Google",
            remedy="let this machine reach it, or set TTS_ENGINE=neural or espeak to have texts spoken offline",
            summary="Google Translate's voice answers",
        ),
        SynthesizerSpec(
            "kokoro", label="Kokoro", made_by="kokoro:Kokoro", package="", memory_mb=280.0, disk_mb=109,
            quality="natural", licence="Apache-2.0",
            remedy="python -m app voices fetch kokoro, or raise MEMORY_BUDGET_MB where it does not fit",
            summary="offline, 6 languages",
        ),
        SynthesizerSpec(
            "neural", label="neural", made_by="neural:Neural", package="hibari", memory_mb=185.0, disk_mb=15,
            quality="natural", licence="Apache-2.0",
            remedy="pip install -r requirements.txt, or raise MEMORY_BUDGET_MB where it does not fit",
            summary="offline, English",
        ),
        SynthesizerSpec(
            "pico", label="Pico", made_by="pico:Pico", package="py_nanotts", memory_mb=36.0, disk_mb=8,
            quality="parametric", licence="Apache-2.0", has_pitch=True,
            remedy="pip install -r requirements.txt, which brings py-nanotts",
            summary="offline, 5 languages",
            voices=(
                FixedVoice("en-US", "en-US", "American English", "female", best_for="en"),
                FixedVoice("en-GB", "en-GB", "British English", "female"),
                FixedVoice("de-DE", "de-DE", "German", "female", best_for="de"),
                FixedVoice("es-ES", "es-ES", "Spanish", "female", best_for="es"),
                FixedVoice("fr-FR", "fr-FR", "French", "female", best_for="fr"),
                FixedVoice("it-IT", "it-IT", "Italian", "female", best_for="it"),
            ),
        ),
        SynthesizerSpec(
            "espeak", label="espeak-ng", made_by="espeak:Espeak", package="espeakng_loader", memory_mb=32.0,
            disk_mb=19, quality="robotic", licence="GPL-3.0-or-later", has_pitch=True,
            remedy="apt install espeak-ng, or pip install -r requirements.txt, which brings espeakng-loader",
        ),
    )
}  # fmt: skip
WITH_PITCH = " and ".join(one.label for one in SYNTHESIZERS.values() if one.has_pitch)
