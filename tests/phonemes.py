"""What espeak-ng's library would say, as phonemes: two texts that have the same ones sound the same."""

import ctypes

from app.engine_process.tts.espeak import Espeak
from app.speech.voices import find_espeak

UTF8 = 1  # espeak_TextToPhonemes's textmode; its phonememode 0 is espeak-ng's own ASCII names


class Phonemes:
    """The library, loaded once; not for threads."""

    def __init__(self) -> None:
        self.espeak = Espeak([(files.library, files.data) for files in find_espeak()])
        self._library = self.espeak._library
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def of(self, text: str, voice: str) -> str:
        """Every clause's phonemes, a space between two."""
        assert self._library.espeak_SetVoiceByName(voice.encode()) == 0
        clauses = []
        rest = ctypes.c_char_p(text.encode())
        while rest.value is not None:
            clauses.append(self._library.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, 0).decode())
        return " ".join(clauses)
