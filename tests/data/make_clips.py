"""
Makes the clips beside this file: `python -m tests.data.make_clips FOLDER`.

FOLDER holds the unpacked source distribution of pocketsphinx 5.1.1, whose test data has five sentences of
a LibriVox reading. README.md tells where everything comes from. The clips are committed; this says how.
"""

import ctypes
import sys
import wave
from pathlib import Path

import av
import espeakng_loader
import numpy as np
from hibari import Hibari

HERE = Path(__file__).parent
READING = "test/data/librivox/sense_and_sensibility_01_austen_64kb-{}.wav"
NEURAL_TEXT = "The harbor wakes before the town does, and the bakery lights its ovens."
ESPEAK_TEXT = "Please leave a message after the tone, and we will call you back tomorrow."

Samples = np.ndarray[tuple[int], np.dtype[np.int16]]


def main(folder: Path) -> None:
    def read(number: str) -> Samples:
        with wave.open(str(folder / READING.format(number))) as source:
            return np.frombuffer(source.readframes(source.getnframes()), np.int16)

    # Pauses of a third of a second: what the reader leaves between sentences.
    pause = np.zeros(16_000 // 3, np.int16)
    save("austen_11s", np.concatenate([pause, read("0870"), pause, read("0880"), pause]), 16_000)
    save("austen_3s", read("0930"), 16_000)
    spoken = Hibari()(NEURAL_TEXT, seed=1)
    save("neural_4s", (spoken * 32_767).astype(np.int16), Hibari.sample_rate)
    save("espeak_4s", *speak(ESPEAK_TEXT))


def save(name: str, samples: Samples, rate: int) -> None:
    """Write *samples* (mono) as FLAC."""
    with av.open(HERE / f"{name}.flac", "w") as container:
        stream = container.add_stream("flac", rate, layout="mono", format="s16")
        stream.codec_context.options = {"compression_level": "12"}
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "s16", "mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def speak(text: str) -> tuple[Samples, int]:
    """*text* in espeak-ng's own voice, and the sampling rate; constants from espeak-ng's speak_lib.h."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    synchronous, utf8 = 2, 1
    data = str(Path(espeakng_loader.get_data_path()).parent).encode()
    rate = library.espeak_Initialize(synchronous, 0, data, 0)
    parts: list[bytes] = []

    def collect(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int) -> int:
        if samples:
            parts.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)(
        collect
    )
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(b"en-us")
    encoded = text.encode() + b"\0"
    library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 1, 0, utf8, None, None)
    library.espeak_Synchronize()
    return np.frombuffer(b"".join(parts), np.int16), rate


if __name__ == "__main__":
    main(Path(sys.argv[1]))
