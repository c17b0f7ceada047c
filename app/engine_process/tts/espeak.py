"""The synthesizer that always works: espeak-ng's library (3 MB, 100 languages, offline)."""

import ctypes
import itertools
import os
import re
from collections.abc import Iterator, Sequence

from ...engine import protocol
from .english import normalize
from .synthesizer import SpeechOptions, TimedWord, gain
from .text import sentences

# From espeak-ng's speak_lib.h (1.51 and 1.52).
SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: espeak_Synth returns when the last callback did
DONT_EXIT = 0x8000  # a wrong data path is an answer, not the end of the process
UTF8 = 1  # espeak_Synth's flags; SSML (0x10) and phoneme input (0x100) stay off
END_PAUSE = 0x1000  # the pause that belongs to the end of a sentence
BY_CHARACTER = 1
RATE, VOLUME, PITCH = 1, 2, 3  # espeak_PARAMETER
WORD, NO_EVENT = 1, 0  # espeak_EVENT_TYPE


class Event(ctypes.Structure):
    """espeak_EVENT: a word begins so many characters into the text and milliseconds into the sound."""

    _fields_ = (
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", ctypes.c_char * 8),
    )  # fmt: skip


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))

GAIN = gain(-21.1)  # -20.2 in Hindi to -22.1 in French
WORDS_PER_MINUTE = 175  # espeak-ng's normal rate; it can do 80 to 450 without dropping sound
PATH_LIMIT = 100  # bytes, leaving as many for the names inside
# espeak_TextToPhonemes: text in UTF-8; IPA (2) with the sign in bits 8 to 23 between letters of one sound (0x80)
TEXT_UTF8 = 1
TIE = "^"
IPA_TIED = 0x82 | ord(TIE) << 8
LANGUAGE_SWITCH = re.compile(r"\([\w^-]+\)")  # "(en)" before a foreign word
SENTENCE_LIMIT = 400  # characters, about 30 s of speech: 1.3 MB
SIGN_FIRST = re.compile(r"([$€£¥])\s?(\d[\d.,\u00a0]*\d|\d)")
BUFFER_MILLISECONDS = 200


class Espeak:
    """
    espeak-ng, initialized with the first of *candidates* (library, data directory) that works.

    The library keeps its state for the whole process: one object of this class, used by one session
    at a time; every sentence sets the voice anew, so sessions may take turns.
    """

    speeds = (80 / WORDS_PER_MINUTE, 450 / WORDS_PER_MINUTE)

    def __init__(self, candidates: Sequence[tuple[str, str | None]]) -> None:
        problems = []
        for library, data in candidates:
            try:
                self._library = ctypes.CDLL(library)
            except OSError as problem:
                problems.append(str(problem))
                continue
            path = short_path(data) if data else None
            begin = self._library.espeak_Initialize
            self.sample_rate = int(begin(SYNCHRONOUS, BUFFER_MILLISECONDS, path, DONT_EXIT))
            if self.sample_rate > 0:
                break
            problems.append(f"{library} finds no data in {data or 'its own place'}")
        else:
            reason = "; ".join(problems) or "it is not installed"
            remedy = "install the system's libespeak-ng1 or the package espeakng-loader"
            raise protocol.Refused("misconfigured", f"espeak-ng can't be loaded: {reason}; {remedy}")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._heard: list[bytes] = []
        self._begun: list[tuple[int, float]] = []  # words: first character, seconds
        self._callback = CALLBACK(self._on_audio)  # kept: the library calls it as long as it speaks

    def speak(self, text: str, options: SpeechOptions) -> Iterator[bytes]:
        """16-bit mono samples of *text*, one sentence at a time."""
        text = normalize(text, options.language)
        text = SIGN_FIRST.sub(r"\2 \1", text)  # "$5" is "dollar five" to it
        parts = list(sentences(text, SENTENCE_LIMIT))
        for number, sentence in enumerate(parts, 1):
            self._set_voice(options.voice)
            self._library.espeak_SetParameter(RATE, round(WORDS_PER_MINUTE * options.speed), 0)
            self._library.espeak_SetParameter(VOLUME, round(100 * GAIN), 0)
            self._library.espeak_SetParameter(PITCH, round(50 * options.pitch), 0)
            # Set each time: a second object of this class in the same process has the same library.
            self._library.espeak_SetSynthCallback(self._callback)
            encoded = sentence.encode() + b"\0"
            flags = UTF8 | END_PAUSE if options.final_pause or number < len(parts) else UTF8
            status = self._library.espeak_Synth(
                encoded, ctypes.c_size_t(len(encoded)), 0, BY_CHARACTER, 0, flags, None, None
            )
            speech, self._heard = b"".join(self._heard), []
            begun, self._begun = self._begun, []
            if options.words is not None:
                options.words.extend(word_times(sentence, begun, len(speech) / 2 / self.sample_rate))
            if status != 0:
                raise protocol.Refused("synthesis_failed", f"espeak-ng answered with error {status}")
            yield speech

    def phonemes(self, text: str, voice: str) -> str:
        """How *voice* says *text*: IPA with stress, words apart, letters of one sound tied by TIE; no punctuation."""
        self._set_voice(voice)
        encoded = ctypes.create_string_buffer(text.encode())
        rest = ctypes.c_void_p(ctypes.addressof(encoded))
        clauses = []
        while rest.value:  # a clause at a time; the library moves the pointer, and ends it with null
            found = self._library.espeak_TextToPhonemes(ctypes.byref(rest), TEXT_UTF8, IPA_TIED)
            clauses.append(LANGUAGE_SWITCH.sub("", found.decode()))
        return " ".join(" ".join(clauses).split())

    def _set_voice(self, name: str) -> None:
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise protocol.Refused("invalid_request", f"espeak-ng has no voice {name!r}", "voice")

    def _on_audio(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[Event]"
    ) -> int:
        number = 0
        while events and (event := events[number]).type != NO_EVENT:
            if event.type == WORD:
                self._begun.append((event.text_position, event.milliseconds / 1000))
            number += 1
        if samples and count > 0:
            self._heard.append(ctypes.string_at(samples, 2 * count))
        return 0


def word_times(sentence: str, begun: list[tuple[int, float]], seconds: float) -> Iterator[TimedWord]:
    """
    The words of *sentence* with their times, by the first character and the seconds of those that *begun*.

    What espeak-ng says as one ("in the") is one event, whose words share its time by their letters.
    """
    for (first, at), (following, end) in itertools.pairwise([*begun, (len(sentence) + 1, seconds)]):
        words = sentence[first - 1 : following - 1].split()
        letters = sum(map(len, words))
        for word in words:
            then = at + (end - at) * len(word) / letters
            yield word, at, then
            at, letters = then, letters - len(word)


def short_path(directory: str) -> bytes:
    """A name for *directory* that fits into the 160 bytes espeak-ng 1.52 has for its files' paths."""
    if len(os.fsencode(directory)) <= PATH_LIMIT:
        return os.fsencode(directory)
    try:
        # Stays open: the library reads from there for as long as the process lives.
        return b"/proc/self/fd/%d" % os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return os.fsencode(directory)
