"""Speech on its way to the caller: made just now, or found in the cache."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field

from ..engine.protocol import Message
from ..errors import SynthesisFailed
from .audio_cache import Draft

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """
    Audio in chunks, and who spoke; iterate it once, then `close()` it, which also cancels what is to come.

    *fallback* has "engine: reason" for each that could not; *skipped* counts the letters and digits
    that are not spoken, by what they are: "code", "address" or a script. *duration_seconds* and *size_bytes* are None
    while the audio is still being made; *etag* then is a weak one, because the header of a stored file says
    how long it is, and that of a streamed one can't.
    """

    engine: str
    voice: str
    format: str
    fallback: tuple[str, ...]
    etag: str
    audio: Iterator[bytes]
    close: Callable[[], None]
    cached: bool = False
    skipped: Mapping[str, int] = field(default_factory=dict)
    duration_seconds: float | None = None
    size_bytes: int | None = None
    made_seconds: Callable[[], float | None] = lambda: None  # how long it became; None before its end

    @property
    def media_type(self) -> str:
        """What `Content-Type` says."""
        return MEDIA_TYPES[self.format]


class Making:
    """
    Speech while the engine makes it. Owned by whoever asked; for one thread.

    *draft* gets a copy; when that is whole and patched, *keep* is called with the duration in seconds.
    """

    def __init__(
        self, messages: Generator[Message], draft: Draft | None, keep: Callable[[Draft, float], None]
    ) -> None:
        self._messages, self._draft, self._keep = messages, draft, keep
        self._first, self.begun = b"", False
        self.duration_seconds: float | None = None
        self.skipped: dict[str, int] = {}
        self.on_end: Callable[[float], None] = lambda duration_seconds: None

    def begin(self) -> None:
        """Wait for the first bytes; what goes wrong until then goes wrong here."""
        self._first = next(self._heard(), b"")
        if not self._first:
            raise SynthesisFailed("it made no sound")

    def complete(self) -> Draft:
        """Wait for all of it; the draft then holds the file as it should be."""
        if self._draft is None or not sum(len(chunk) for chunk in self._heard()):
            raise SynthesisFailed("it made no sound")
        return self._draft

    def chunks(self) -> Iterator[bytes]:
        """What `begin` waited for, and the rest as it comes; closes everything at the end."""
        try:
            yield self._first
            yield from self._heard()
        finally:
            self.close()

    def _heard(self) -> Iterator[bytes]:
        for message in self._messages:
            if message.payload:
                self.begun = True
                self._copy(message.payload)
                yield message.payload
            elif message.header["kind"] == "start":
                self.skipped = message.header["skipped"]
            elif message.header["kind"] == "end":
                self.duration_seconds = message.header["duration"]
                self.on_end(message.header["duration"])
                self._finish(message.header["patches"], message.header["duration"])

    def _copy(self, audio: bytes) -> None:
        if self._draft is not None:
            self._draft.write(audio)

    def _finish(self, patches: list[tuple[int, str]], duration_seconds: float) -> None:
        if self._draft is not None:
            self._draft.patch((offset, bytes.fromhex(written)) for offset, written in patches)
            self._keep(self._draft, duration_seconds)

    def close(self) -> None:
        """Cancel what is to come and let go of the file."""
        self._messages.close()
        if self._draft is not None:
            self._draft.close()
