"""The natural voice that needs no network: hibari-tts, English, on onnxruntime."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engine import protocol
from ...memory import trim_heap
from .english import normalize
from .pronunciation import build_g2p
from .synthesizer import SpeechOptions, gain, installed
from .text import shortened

if TYPE_CHECKING:
    import numpy
    import onnxruntime
    from hibari import Hibari

# The voice file of hibari-tts 0.2.1; a version whose file differs is listened to before it is spoken with.
VOICE_SHA256 = {"heart": "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"}
SENTENCE_LIMIT = 200  # characters, about 12 s: what is synthesized at once decides the peak (3 MB a second)
PHONEME_LIMIT = 400  # the most the voice was made for
GAIN = gain(-26.3)
SEED = 0  # of the breath in the voice: the same text sounds the same, so a cached answer is the answer


class Neural:
    """
    The voices of hibari-tts whose files are on this machine and are the ones expected.

    Nothing is downloaded unless *allow_download*; voices are loaded when first asked for.
    """

    sample_rate = 24000
    speeds = (0.5, 2.0)  # what the voice was trained for

    def __init__(self, *, threads: int = 1, allow_download: bool = False) -> None:
        self._threads, self._allow_download = threads, allow_download
        self._voices: dict[str, Hibari] = {}
        installed("hibari", "the neural voice", "hibari-tts")

    def speak(self, text: str, options: SpeechOptions) -> Iterator[bytes]:
        """16-bit mono samples of *text*, one sentence at a time."""
        import numpy
        from hibari import Hibari

        voice = self._voice(options.voice)
        noise = numpy.random.default_rng(SEED)
        for sentence in Hibari.split_sentences(normalize(text, options.language)):
            for part in shortened(sentence, SENTENCE_LIMIT):
                for chunk in voice.phonemize(part):
                    for phonemes in shortened(chunk, PHONEME_LIMIT):
                        samples = voice.from_ids(voice.ids(phonemes), options.speed, noise)
                        yield to_16_bit(samples * GAIN)

    def _voice(self, name: str) -> "Hibari":
        import hibari
        from hibari import Hibari
        from hibari.voices import VOICES, voice_path

        if name in self._voices:
            return self._voices[name]
        if name not in VOICES:
            known = ", ".join(VOICES)
            raise protocol.Refused("invalid_request", f"voice: {name!r} is none of {known}", "voice")
        try:
            path = Path(voice_path(name, download_missing=self._allow_download))
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except (OSError, RuntimeError) as problem:
            message = f"the file of the voice {name!r} is not here: {problem}"
            raise protocol.Refused("synthesis_failed", message) from None
        if found != VOICE_SHA256.get(name, VOICES[name]["sha256"]):
            known = f"not the one this service knows (sha256 {found[:12]}...)"
            message = f"the file of the voice {name!r} is {known}; install hibari-tts again"
            raise protocol.Refused("misconfigured", message)
        # Its own __init__ has no way to pass these on: 98 MB of tables, and an arena that keeps its peak.
        made = Hibari.__new__(Hibari)
        assets = Path(hibari.__file__).parent / "assets"
        made.voice, made.model_path = name, str(path)
        made._g2p = build_g2p(assets, british=VOICES[name]["british"])
        made.vocab = json.loads((assets / "vocab.json").read_text())
        made.sess = session(path, self._threads, arena=False, spinning=True)  # 30 MB less than with an arena
        self._voices[name] = made
        trim_heap()  # loading left 13 MB behind
        return made


def session(path: Path, threads: int, *, arena: bool, spinning: bool) -> "onnxruntime.InferenceSession":
    """The model on *threads* threads, which wait by *spinning* or asleep; its *arena* keeps what a sentence took."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # of others there are none: operators run one after the other
    options.enable_cpu_mem_arena = options.enable_mem_pattern = arena
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def to_16_bit(samples: "numpy.ndarray[Any, Any]") -> bytes:
    """Samples between -1 and 1 as 16-bit little-endian."""
    scaled = samples.clip(-1.0, 1.0) * 32767.0
    return scaled.astype("<i2").tobytes()
