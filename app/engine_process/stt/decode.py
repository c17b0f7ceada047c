"""
Any accepted recording to 16 kHz mono, a frame at a time.

Uploads are hostile: only the containers and codecs below are ever opened, by a file object of ours, and every
attempt to open anything else (a playlist's entry, a reference inside an MP4) is refused.
"""

import contextlib
import io
import time
from collections.abc import Iterator
from typing import Any

import av
import av.audio
import av.error
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from ...engine import protocol
from .clock import BEGINNING, Clock, Mark
from .mel import RATE, Samples

CONTAINERS = (  # FFmpeg's names
    "wav,w64,mp3,mov,mp4,m4a,3gp,matroska,webm,ogg,flac,aac,amr,aiff,caf,asf,avi,mpegts,au"
)
CODECS = (
    "aac,aac_latm,ac3,eac3,alac,amrnb,amrwb,flac,mp1float,mp2float,mp3float,opus,libopus,vorbis,speex,gsm_ms,wmav1,"
    "wmav2,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16be,pcm_s16le,pcm_s24be,"
    "pcm_s24le,pcm_s32be,pcm_s32le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le"
)
ACCEPTED = (
    "wav, mp3, mp4, m4a, mov, webm, mkv, ogg, flac, aac, amr, aiff, caf, wma, avi, ts and au are accepted"
)
# A header may claim 1 Hz, and 4 KB would become 65 million samples.
RATES = range(1000, 384001)
MOST_STREAMS = 32  # a film has a few; a thousand tracks of a phone's memo took 750 MB to open
# Read ahead to learn what there is; FFmpeg's own 5 MB are 380 MB as packets of 7 bytes.
PROBED_BYTES = 1 << 18
BARREN_SECONDS = 5.0  # of processor time without a sample; half a million empty boxes take one
SPARE_BYTES = 32 << 20  # what must still be there for a refusal to be the file's fault
# A track is silent where its first minutes have no sample above -66 dB; lossy codecs make one or two of nothing.
SOUND = 16
SILENT_SECONDS = 600.0
FROM_ZERO = ("mov", "matroska")  # their times begin at 0; those of the others anywhere
# A beginning that is later, and longer than the file, is that of a broadcast joined on the way.
LATE_SECONDS = 3600.0
OGG_PAGE = b"OggS\0"  # and its flags
OGG_BLOCK = 1 << 16


def decode(
    path: str,
    max_seconds: float,
    *,
    track: int | None = None,
    start: Mark = BEGINNING,
    clock: Clock | None = None,
) -> Iterator[Samples]:
    """
    Samples of an audio track, 16 kHz mono, as they are decoded.

    The *track* is counted from 0; without it, it is the default one or the first that can be decoded and is not
    silent. What is corrupt is left out as long as anything can be heard; Refused where nothing can, and once
    there is more than *max_seconds*. The *clock* is told what the file says of the time. From *start* on, a mark of an
    earlier run, the first samples may differ from those of that run: codecs look back up to half a second.
    """
    clock = clock or Clock()
    clock.begin(start)
    try:
        with Source(path) as file:
            is_ogg = file.read(len(OGG_PAGE)) == OGG_PAGE
            chosen = None
            begin: int | None = 0
            while begin is not None:
                end = file.next_link(begin) if is_ogg else None
                file.narrow(begin, end)
                found = clock.sample
                with open_container(file) as container:
                    if chosen is None:
                        chosen = choose_track(path, container, track)
                        if container.duration:
                            clock.stated_seconds = container.duration / 1_000_000
                        zero, latest = origin(container)
                        clock.align(zero if start == BEGINNING else None, latest)
                    else:
                        clock.align(None, None)
                    frames = decoded_frames(container, chosen, clock, start.packet)
                    for samples in resampled(clock.follow(frames)):
                        file.mark_progress()
                        clock.sample += len(samples)
                        if clock.sample > max_seconds * RATE:
                            raise protocol.Refused(
                                "audio_too_long",
                                f"the recording is longer than the {max_seconds / 60:g} minutes accepted",
                                "file",
                            )
                        yield samples
                begin = end if clock.sample > found or clock.packet <= start.packet else None
    except protocol.Refused as refusal:
        # What comes behind a recording that was heard may be anything.
        if not clock.sample or refusal.code != "invalid_audio":
            raise
    except av.error.MemoryError:
        raise out_of_memory() from None
    except (av.error.FFmpegError, ValueError) as error:
        if not clock.sample:
            raise invalid(f"the file can't be decoded ({error})") from None
    if not clock.sample:
        raise invalid("nothing in the file can be decoded")


def invalid(reason: str, param: str = "file") -> protocol.Refused:
    """The refusal of a file for *reason*."""
    return protocol.Refused("invalid_audio", f"{reason}; {ACCEPTED}", param)


class Source(io.FileIO):
    """The file a recording is read from, or a part of it; it ends a decoder that reads on and finds nothing."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.mark_progress()
        self.narrow(0, None)

    def mark_progress(self) -> None:
        """Samples were found."""
        self._found_at = time.thread_time()

    def narrow(self, begin: int, end: int | None) -> None:
        """Be the file from byte *begin* to *end*, None for its end."""
        size = super().seek(0, io.SEEK_END)
        self.begin, self.end = begin, size if end is None else end
        self.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        """As a file does; past BARREN_SECONDS it has come to its end."""
        if time.thread_time() - self._found_at > BARREN_SECONDS:
            return b""
        left = max(0, self.end - super().tell())
        return super().read(left if size is None or size < 0 else min(size, left)) or b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As a file does, within its part."""
        start = {io.SEEK_SET: self.begin, io.SEEK_CUR: super().tell(), io.SEEK_END: self.end}[whence]
        return super().seek(max(0, start + offset)) - self.begin

    def tell(self) -> int:
        """As a file does, within its part."""
        return super().tell() - self.begin

    def next_link(self, begin: int) -> int | None:
        """
        Where the stream after the one at byte *begin* of a chained Ogg file begins, None where it is the last.

        A page with the flag 2 begins a stream; those of streams side by side stand together (RFC 3533, section 4).
        """
        self.narrow(begin, None)
        place, block, beginning = begin, b"", True
        while read := self.read(OGG_BLOCK):
            block += read
            found = block.find(OGG_PAGE)
            while 0 <= found < len(block) - len(OGG_PAGE):
                is_first = bool(block[found + len(OGG_PAGE)] & 2)
                if is_first and not beginning:
                    return place + found
                beginning = beginning and is_first
                found = block.find(OGG_PAGE, found + 1)
            kept = len(OGG_PAGE)
            place, block = place + max(0, len(block) - kept), block[-kept:]
        return None


def out_of_memory() -> Exception:
    """MemoryError where there is none left; else the file asked for more than a recording needs, and is refused."""
    try:
        bytearray(SPARE_BYTES)
    except MemoryError:
        return MemoryError()
    return invalid("the file asks for more memory than sound needs")


def open_container(file: Source) -> InputContainer:
    """The container in *file*, with one thread and nothing but audio decoders."""
    if not file.read(1):
        raise invalid("the file is empty")
    file.seek(0)
    options = {"format_whitelist": CONTAINERS, "codec_whitelist": CODECS, "protocol_whitelist": "none"}
    options |= {"max_streams": str(MOST_STREAMS), "probesize": str(PROBED_BYTES)}
    try:
        return av.open(file, "r", container_options=options, metadata_errors="ignore", io_open=refuse_to_open)
    except av.error.MemoryError:
        raise out_of_memory() from None
    except (av.error.FFmpegError, ValueError):
        raise invalid("the file is no recording, or in a format that is not read here") from None


def refuse_to_open(url: str, flags: int, options: dict[str, str]) -> None:
    """What FFmpeg is told when a file wants another one."""
    raise PermissionError("a recording may not refer to other files")


def origin(container: InputContainer) -> tuple[float, float | None]:
    """The time in *container* that is the recording's zero, and the latest it states, None if it does not; seconds."""
    begins = (container.start_time or 0) / 1_000_000
    stated = container.duration / 1_000_000 if container.duration else None
    # FFmpeg counts MP4's from its first sample.
    latest = None if stated is None else stated + max(0.0, begins)
    if container.format.name.startswith(FROM_ZERO) and begins <= max(LATE_SECONDS, stated or 0):
        begins = min(0.0, begins)
    return begins, latest


def choose_track(path: str, container: InputContainer, asked: int | None) -> int:
    """The number of the audio track to decode; Refused where there is none, or not the one that was *asked* for."""
    tracks = container.streams.audio
    if not tracks:
        raise invalid("the file has no sound in it")
    if asked is not None:
        if asked >= len(tracks):
            raise protocol.Refused(
                "invalid_request",
                f"there is no audio_track {asked} in the file; it has {len(tracks)}, counted from 0",
                "audio_track",
            )
        if (codec := unknown_codec(tracks[asked])) is not None:
            raise invalid(f"track {asked} of the file has its sound as {codec}, which is not decoded here")
        return asked
    known = [number for number, track in enumerate(tracks) if unknown_codec(track) is None]
    if not known:
        codec = unknown_codec(tracks[0])
        raise invalid(f"the file has its sound as {codec}, which is not decoded here")
    known.sort(key=lambda number: not tracks[number].disposition & av.stream.Disposition.default)
    if len(known) == 1:
        return known[0]
    return next((number for number in known if has_sound(path, number)), known[0])


def unknown_codec(track: AudioStream) -> str | None:
    """The codec of *track* where it is not decoded here."""
    if track.codec_context is None:
        return "an unknown codec"
    return None if track.codec_context.name in CODECS.split(",") else track.codec_context.name


def has_sound(path: str, track: int) -> bool:
    """Whether anything is to be heard in the first minutes of *track*."""
    count = 0
    with (
        contextlib.suppress(av.error.FFmpegError, ValueError),
        Source(path) as file,
        open_container(file) as container,
    ):
        for samples in resampled(decoded_frames(container, track, Clock())):
            file.mark_progress()
            if samples.max(initial=0) >= SOUND or samples.min(initial=0) <= -SOUND:
                return True
            count += len(samples)
            if count > SILENT_SECONDS * RATE:
                break
    return False


def decoded_frames(
    container: InputContainer, track: int, clock: Clock, first: int = 0
) -> Iterator[av.AudioFrame]:
    """
    Those of an audio track; packets that can't be decoded are left out, and a broken tail ends them.

    The *clock* counts the packets; those before the *first* are passed over.
    """
    tracks = container.streams.audio
    if not tracks:
        return
    stream = tracks[min(track, len(tracks) - 1)]
    if (codec := unknown_codec(stream)) is not None:
        raise ValueError(f"{codec} is not decoded here")
    stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    while True:
        if clock.packet >= first:
            clock.note_packet()
        try:
            packet = next(packets)
        except (StopIteration, av.error.InvalidDataError, av.error.EOFError):
            return
        clock.packet += 1
        if clock.packet <= first:
            continue
        with contextlib.suppress(av.error.InvalidDataError, av.error.EOFError):
            yield from packet.decode()


class Mixer:
    """
    Makes one channel of two, a frame at a time: their mean, or the louder one where they cancel each other out.

    What matters is the energy in the last seconds: of two channels that have nothing in common, the mean has at least
    a quarter of what the louder one has, of one that is silent exactly that; of opposite ones it has nothing.
    """

    MEMORY_SECONDS = 2.0
    CANCELLED, RESTORED = 1 / 8, 1 / 5  # the mean's energy against that of the louder channel

    def __init__(self) -> None:
        self.energies = np.zeros(3)  # of the left channel, the right one, and their mean
        self.channel: int | None = None  # the one that is taken alone

    def __call__(self, frame: av.AudioFrame) -> av.AudioFrame:
        """*frame*, or one channel of it."""
        samples: Any = frame.to_ndarray()  # of any of FFmpeg's numbers
        if not frame.format.is_planar:
            samples = samples.reshape(-1, 2).T
        left, right = samples.astype(np.float32) - (128 if samples.dtype == np.uint8 else 0)
        mean = (left + right) / 2
        self.energies *= np.exp(-frame.samples / frame.sample_rate / self.MEMORY_SECONDS)
        self.energies += [left @ left, right @ right, mean @ mean]
        louder = self.energies[:2].max()
        if self.channel is None and self.energies[2] < self.CANCELLED * louder:
            self.channel = int(self.energies[:2].argmax())
        elif self.energies[2] > self.RESTORED * louder:
            self.channel = None
        if self.channel is None:
            return frame
        alone = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[self.channel : self.channel + 1]), frame.format.name, "mono"
        )
        alone.sample_rate = frame.sample_rate
        return alone


def resampled(decoded: Iterator[av.AudioFrame]) -> Iterator[Samples]:
    """*decoded* as 16 kHz mono; a change of rate or channels in mid-stream starts a new resampler."""
    resampler = None
    shape = None
    mixer = Mixer()
    for frame in decoded:
        if frame.sample_rate not in RATES:
            raise ValueError(f"{frame.sample_rate} Hz; {RATES[0]} to {RATES[-1]} Hz are accepted")
        if frame.layout.nb_channels == 2:
            frame = mixer(frame)
        frame.pts = None  # gaps would be filled with silence, and hours of it cost nothing to claim
        current = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or current != shape:
            yield from flushed(resampler)
            resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
            shape = current
        for piece in resampler.resample(frame):
            yield piece.to_ndarray()[0]
    yield from flushed(resampler)


def flushed(resampler: AudioResampler | None) -> Iterator[Samples]:
    """What *resampler* still holds: up to 20 ms."""
    for piece in resampler.resample(None) if resampler else ():
        if piece is not None:  # a resampler with nothing to do hands the None back
            yield piece.to_ndarray()[0]
