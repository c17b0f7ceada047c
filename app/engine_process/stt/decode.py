"""
Any accepted recording to 16 kHz mono, a frame at a time.

Uploads are hostile: only the containers and codecs below are ever opened, by a file object of ours, and every
attempt to open anything else (a playlist's entry, a reference inside an MP4) is refused.
"""

import contextlib
import io
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import av
import av.audio
import av.error
import numpy as np
import numpy.typing as npt

from ...engine import protocol
from .mel import RATE

CONTAINERS = "wav,w64,mp3,mov,mp4,m4a,3gp,matroska,webm,ogg,flac,aac,amr,aiff,caf"  # FFmpeg's names
CODECS = (
    "aac,aac_latm,alac,amrnb,amrwb,flac,mp1float,mp2float,mp3float,opus,libopus,vorbis,speex,gsm_ms,"
    "adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,"
    "pcm_s32be,pcm_s32le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le"
)
ACCEPTED = "wav, mp3, mp4, m4a, mov, webm, mkv, ogg, flac, aac, amr, aiff and caf are accepted"
# A header may claim 1 Hz, and 4 KB would become 65 million samples.
RATES = range(1000, 384001)
MOST_STREAMS = 32  # a film has a few; a thousand tracks of a phone's memo took 750 MB to open
# Read ahead to learn what there is; FFmpeg's own 5 MB are 380 MB as packets of 7 bytes.
PROBED_BYTES = 1 << 18
BARREN_SECONDS = 5.0  # of processor time without a sample; half a million empty boxes take one
SPARE_BYTES = 32 << 20  # what must still be there for a refusal to be the file's fault
Samples = npt.NDArray[np.int16]


class Mark(NamedTuple):
    """Where decoding may begin: at a packet, and the sample of the whole recording that this is."""

    packet: int
    sample: int


BEGINNING = Mark(0, 0)


def decode(
    path: str,
    max_seconds: float,
    *,
    start: Mark = BEGINNING,
    note: Callable[[Mark], None] = lambda mark: None,
    state: Callable[[float], None] = lambda seconds: None,
) -> Iterator[Samples]:
    """
    Samples of the first audio stream, 16 kHz mono, as they are decoded.

    What is corrupt is left out as long as anything can be heard; Refused where nothing can, and once
    there is more than *max_seconds*. *state* is told the length the file states, if it does, and *note* where each
    packet begins. From *start* on, which was noted in an earlier run, the first samples may differ from those of
    that run: codecs look back up to half a second.
    """
    count = start.sample
    try:
        with Source(path) as file, open_container(file) as container:
            if not container.streams.audio:
                raise protocol.Refused("invalid_audio", f"the file has no sound in it; {ACCEPTED}", "file")
            if container.duration:
                state(container.duration / 1_000_000)
            decoded = frames(container, start.packet, lambda packet: note(Mark(packet, count)))
            for samples in resampled(decoded):
                file.bear_fruit()
                count += len(samples)
                if count > max_seconds * RATE:
                    raise protocol.Refused(
                        "audio_too_long",
                        f"the recording is longer than the {max_seconds / 60:g} minutes accepted",
                        "file",
                    )
                yield samples
    except av.error.MemoryError:
        raise out_of_memory() from None
    except (av.error.FFmpegError, ValueError) as error:
        if not count:
            raise protocol.Refused(
                "invalid_audio", f"the file can't be decoded ({error}); {ACCEPTED}", "file"
            ) from None
    if not count:
        raise protocol.Refused("invalid_audio", f"nothing in the file can be decoded; {ACCEPTED}", "file")


class Source(io.FileIO):
    """The file a recording is read from; it ends a decoder that reads on and on and finds nothing."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.bear_fruit()

    def bear_fruit(self) -> None:
        """Samples were found."""
        self._found_at = time.thread_time()

    def read(self, size: int | None = -1) -> bytes:
        """As a file does; past BARREN_SECONDS it has come to its end."""
        if time.thread_time() - self._found_at > BARREN_SECONDS:
            return b""
        return super().read(-1 if size is None else size) or b""


def out_of_memory() -> Exception:
    """MemoryError where there is none left; else the file asked for more than a recording needs, and is refused."""
    try:
        bytearray(SPARE_BYTES)
    except MemoryError:
        return MemoryError()
    return protocol.Refused(
        "invalid_audio", f"the file asks for more memory than sound needs; {ACCEPTED}", "file"
    )


def open_container(
    file: Any,
) -> "av.container.InputContainer":  # Any: PyAV takes any object with read and seek
    """The container in *file*, with one thread and nothing but audio decoders."""
    if not file.read(1):
        raise protocol.Refused("invalid_audio", f"the file is empty; {ACCEPTED}", "file")
    file.seek(0)
    options = {"format_whitelist": CONTAINERS, "codec_whitelist": CODECS, "protocol_whitelist": "none"}
    options |= {"max_streams": str(MOST_STREAMS), "probesize": str(PROBED_BYTES)}
    try:
        container: av.container.InputContainer = av.open(
            file, "r", container_options=options, metadata_errors="ignore", io_open=refuse_to_open
        )
        return container
    except av.error.MemoryError:
        raise out_of_memory() from None
    except (av.error.FFmpegError, ValueError):
        raise protocol.Refused("invalid_audio", f"the file is not audio; {ACCEPTED}", "file") from None


def refuse_to_open(url: str, flags: int, options: dict[str, str]) -> None:
    """What FFmpeg is told when a file wants another one."""
    raise PermissionError("a recording may not refer to other files")


def frames(
    container: "av.container.InputContainer",
    first: int = 0,
    about_to_read: Callable[[int], None] = lambda packet: None,
) -> Iterator[av.AudioFrame]:
    """
    Decoded frames; packets that can't be decoded are left out, and a broken tail ends them.

    Packets before the *first* are passed over; *about_to_read* gets the number of each of the others.
    """
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise protocol.Refused(
            "invalid_audio", f"the audio in the file has an unknown codec; {ACCEPTED}", "file"
        )
    if stream.codec_context.name not in CODECS.split(","):
        codec = stream.codec_context.name
        raise protocol.Refused("invalid_audio", f"audio as {codec} is not decoded here; {ACCEPTED}", "file")
    stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    for number in itertools.count():
        if number >= first:
            about_to_read(number)
        try:
            packet = next(packets)
        except (StopIteration, av.error.InvalidDataError, av.error.EOFError):
            return
        if number < first:
            continue
        with contextlib.suppress(av.error.InvalidDataError, av.error.EOFError):
            yield from packet.decode()


def resampled(decoded: Iterator[av.AudioFrame]) -> Iterator[Samples]:
    """*decoded* as 16 kHz mono; a change of rate or channels in mid-stream starts a new resampler."""
    resampler = None
    shape = None
    for frame in decoded:
        if frame.sample_rate not in RATES:
            raise ValueError(f"{frame.sample_rate} Hz; {RATES[0]} to {RATES[-1]} Hz are accepted")
        frame.pts = (
            None  # what the file says about time is often wrong, and gaps would be filled with silence
        )
        current = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or current != shape:
            yield from flushed(resampler)
            resampler = av.audio.resampler.AudioResampler(format="s16", layout="mono", rate=RATE)
            shape = current
        for piece in resampler.resample(frame):
            yield piece.to_ndarray()[0]
    yield from flushed(resampler)


def flushed(resampler: "av.audio.resampler.AudioResampler | None") -> Iterator[Samples]:
    """What *resampler* still holds: up to 20 ms."""
    for piece in resampler.resample(None) if resampler else ():
        if piece is not None:  # a resampler with nothing to do hands the None back
            yield piece.to_ndarray()[0]
