"""
Recordings for tests and benchmarks: clips with their text, every container a browser or phone records
them in, and files that are no recording. `long_speech.py` makes long ones.

Only the clips are committed (`tests/data/README.md`); the rest is made from them, a clip in a container
in about 20 ms.
"""

import io
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

DATA = Path(__file__).parent / "data"

Samples = np.ndarray[tuple[int], np.dtype[np.int16]]


@dataclass(frozen=True)
class Clip:
    """A short recording in `tests/data`, what is said in it, and its length."""

    name: str
    seconds: float

    @property
    def path(self) -> Path:
        return DATA / f"{self.name}.flac"

    @property
    def text(self) -> str:
        return self.path.with_suffix(".txt").read_text().strip()


AUSTEN = Clip("austen_11s", 11.09)
AUSTEN_SHORT = Clip("austen_3s", 3.29)
NEURAL = Clip("neural_4s", 4.45)
ESPEAK = Clip("espeak_4s", 3.63)
CLIPS = (AUSTEN, AUSTEN_SHORT, NEURAL, ESPEAK)


@dataclass(frozen=True)
class Container:
    """How one kind of device wraps its sound; *live* ones cannot go back to fill in a length or an index."""

    suffix: str
    mime: str
    muxer: str
    codec: str
    rate: int = 48_000
    layout: str = "mono"
    live: bool = False
    options: dict[str, str] = field(default_factory=dict)
    bit_rate: int | None = None


CONTAINERS = {
    # Chrome: clusters of unknown size, no duration, no index.
    "webm_chrome": Container(
        ".webm", "audio/webm;codecs=opus", "webm", "libopus", live=True, options={"live": "1"}
    ),
    # Firefox: the same without a duration, but its clusters say how large they are.
    "webm_firefox": Container(
        ".webm", "audio/webm;codecs=opus", "webm", "libopus", layout="stereo", live=True
    ),
    "ogg_firefox": Container(".ogg", "audio/ogg;codecs=opus", "ogg", "libopus", live=True),
    # Safari: fragments of a second; the header in front knows of no sample.
    "mp4_safari": Container(
        ".mp4",
        "audio/mp4",
        "mp4",
        "aac",
        live=True,
        options={"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "1000000"},
    ),
    # A phone's voice memo: the index (moov) comes last.
    "m4a_phone": Container(".m4a", "audio/x-m4a", "ipod", "aac", bit_rate=64_000),
    "m4a_fast_start": Container(".m4a", "audio/mp4", "ipod", "aac", options={"movflags": "faststart"}),
    "3gp_phone": Container(".3gp", "audio/3gpp", "3gp", "libopencore_amrnb", rate=8_000, bit_rate=12_200),
    "amr_phone": Container(".amr", "audio/amr", "amr", "libopencore_amrnb", rate=8_000, bit_rate=12_200),
    "mp3": Container(".mp3", "audio/mpeg", "mp3", "libmp3lame", rate=44_100, bit_rate=64_000),
    "aac": Container(".aac", "audio/aac", "adts", "aac", rate=44_100, live=True),
    "flac": Container(".flac", "audio/flac", "flac", "flac", rate=16_000),
    "wav": Container(".wav", "audio/wav", "wav", "pcm_s16le", rate=16_000),
    "wav_stereo_48k": Container(".wav", "audio/wav", "wav", "pcm_s16le", layout="stereo"),
    "wav_8k": Container(".wav", "audio/wav", "wav", "pcm_s16le", rate=8_000),
    "wav_telephone": Container(".wav", "audio/x-wav", "wav", "pcm_mulaw", rate=8_000),
    "wav_float": Container(".wav", "audio/wav", "wav", "pcm_f32le", rate=44_100),
}


class Live(io.RawIOBase):
    """A file that is only ever appended to, like a recorder's stream."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: bytes) -> int:  # type: ignore[override]
        self.parts.append(bytes(part))
        return len(part)


def recorded_as(container: str, clip: Clip = AUSTEN_SHORT) -> bytes:
    """The bytes a device would upload had it recorded *clip*; *container* is a key of CONTAINERS."""
    kind = CONTAINERS[container]
    live = Live()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"recording{kind.suffix}"
        with (
            av.open(clip.path) as source,
            av.open(live if kind.live else path, "w", kind.muxer, options=kind.options) as output,
        ):
            stream = output.add_stream(kind.codec, kind.rate, layout=kind.layout)
            if kind.bit_rate:
                stream.bit_rate = kind.bit_rate
            encode(source, output, stream)
        return b"".join(live.parts) if kind.live else path.read_bytes()


def encode(source: InputContainer, output: OutputContainer, stream: AudioStream) -> None:
    """Put all sound of *source* into *stream* of *output*."""
    resampler = resampler_for(stream)
    for frame in [*source.decode(audio=0), None]:
        for resampled in resampler.resample(frame):
            output.mux(stream.encode(resampled))
    output.mux(stream.encode(None))


def resampler_for(stream: AudioStream) -> av.AudioResampler:
    """Makes frames as *stream*'s encoder wants them."""
    return av.AudioResampler(
        stream.format.name, stream.layout.name, stream.rate, stream.codec_context.frame_size or None
    )


def video(*, sound: bool) -> bytes:
    """A second of a small moving picture in MP4, as a phone films it; with sound, AUSTEN_SHORT is heard."""
    target = io.BytesIO()
    with av.open(target, "w", "mp4") as output:
        picture = output.add_stream("mpeg4", 10, width=64, height=48, pix_fmt="yuv420p")
        speech = output.add_stream("aac", 16_000, layout="mono") if sound else None
        for number in range(10):
            shade = np.full((48, 64, 3), number * 25, np.uint8)
            output.mux(picture.encode(av.VideoFrame.from_ndarray(shade, "rgb24")))
        output.mux(picture.encode(None))
        if speech is not None:
            with av.open(AUSTEN_SHORT.path) as source:
                encode(source, output, speech)
    return target.getvalue()


@dataclass(frozen=True)
class Track:
    """A track of sound for `muxed`: pieces of samples at 16 kHz, each with the second at which it begins."""

    pieces: list[tuple[float, Samples]]
    codec: str = "libopus"
    rate: int = 48_000
    layout: str = "mono"
    default: bool = False


def muxed(
    muxer: str, *tracks: Track, picture_seconds: float = 0, options: dict[str, str] | None = None
) -> bytes:
    """The bytes of a container of FFmpeg's kind *muxer* with *tracks*, after a picture where that is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        with av.open(path, "w", muxer, options=options or {}) as output:
            picture = (
                output.add_stream("mpeg4", 5, width=32, height=32, pix_fmt="yuv420p")
                if picture_seconds
                else None
            )
            streams = []
            for track in tracks:
                stream = output.add_stream(track.codec, track.rate, layout=track.layout)
                if track.codec.startswith("wma"):
                    stream.bit_rate = 128_000
                stream.disposition = (
                    av.stream.Disposition.default if track.default else av.stream.Disposition(0)
                )
                streams.append(stream)
            for number in range(round(picture_seconds * 5)):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 256, np.uint8), "rgb24")
                output.mux(picture.encode(frame))
            if picture is not None:
                output.mux(picture.encode(None))
            for track, stream in zip(tracks, streams, strict=True):
                for begin, samples in track.pieces:
                    _put(output, stream, begin, samples)
                output.mux(stream.encode(None))
        return path.read_bytes()


def _put(output: OutputContainer, stream: AudioStream, begin: float, samples: Samples) -> None:
    """*samples* from the second *begin* on."""
    resampler = resampler_for(stream)
    if samples.ndim == 1:
        samples = samples[np.newaxis]
    stereo = len(samples) == 2
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "s16p", "stereo" if stereo else "mono")
    frame.sample_rate = 16_000
    count = round(begin * stream.rate)
    for each in [frame, None]:
        for resampled in resampler.resample(each):
            resampled.pts, resampled.time_base = count, Fraction(1, stream.rate)
            count += resampled.samples
            output.mux(stream.encode(resampled))


def wav(samples: Samples, rate: int = 16_000) -> bytes:
    """*samples* (mono) as a WAV file."""
    size = samples.size * 2
    header = b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt \x10\0\0\0\x01\0\x01\0"
    header += rate.to_bytes(4, "little") + (rate * 2).to_bytes(4, "little") + b"\x02\0\x10\0data"
    return header + size.to_bytes(4, "little") + samples.astype("<i2").tobytes()


def silence(seconds: float) -> bytes:
    """Digital silence as WAV: a recording in which nothing is said."""
    return wav(np.zeros(int(seconds * 16_000), np.int16))


def noise(seconds: float, level: float = 0.1) -> bytes:
    """White noise as WAV, *level* of full scale: a recording in which nothing is said."""
    drawn = np.random.default_rng(1).normal(0, level * 32_767, int(seconds * 16_000))
    return wav(drawn.clip(-32_768, 32_767).astype(np.int16))


def hours_of_silence(hours: float) -> bytes:
    """Silence as FLAC at 1,000 samples a second: an hour has 280 kB, and 115 MB once it is 16 kHz PCM."""
    target = io.BytesIO()
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 4_608), np.int16), "s16", "mono")
    frame.sample_rate = 1_000
    with av.open(target, "w", "flac") as output:
        stream = output.add_stream("flac", 1_000, layout="mono", format="s16")
        for _ in range(round(hours * 3_600_000 / frame.samples)):
            frame.pts = None
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue()


# What nobody can make sound of, by the name a client gives it.
NOT_RECORDINGS: dict[str, Callable[[], bytes]] = {
    "empty.wav": lambda: b"",
    "one_byte.mp3": lambda: b"\xff",
    "text_named.wav": lambda: b"Dear sir, this is a letter and no recording of anything.\n" * 40,
    "page_named.mp3": lambda: b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>\n",
    # What players follow to other files and addresses; nobody may.
    "playlist.m3u8": lambda: b"#EXTM3U\n#EXTINF:10,\nfile://" + bytes(AUSTEN.path) + b"\n",
    "script.ffconcat": lambda: b"ffconcat version 1.0\nfile '" + bytes(AUSTEN.path) + b"'\n",
    "session.sdp": lambda: b"v=0\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    "random_bytes.webm": lambda: random.Random(1).randbytes(20_000),
    "header_only.wav": lambda: wav(np.zeros(0, np.int16)),
    "header_only.webm": lambda: recorded_as("webm_chrome")[:200],
    "picture_only.mp4": lambda: video(sound=False),
    "without_index.m4a": lambda: recorded_as("m4a_phone")[:-3_000],  # the index at the end is cut off
}

# Uploads that broke off in the middle: their first half is good speech.
BROKEN_OFF: dict[str, Callable[[], bytes]] = {
    name: lambda kind=kind: (whole := recorded_as(kind, AUSTEN))[: len(whole) // 2]
    for name, kind in {
        "broken_off.webm": "webm_chrome",
        "broken_off.ogg": "ogg_firefox",
        "broken_off.mp4": "mp4_safari",
        "broken_off.mp3": "mp3",
        "broken_off.wav": "wav",
        "broken_off.flac": "flac",
    }.items()
}


def raw(clip: Clip, rate: int = 24_000, codec: str = "pcm_s16le") -> bytes:
    """*clip* as a microphone's program sends it: without a header; *codec* may be pcm_mulaw or pcm_alaw."""
    target = io.BytesIO()
    muxer = {"pcm_s16le": "s16le", "pcm_mulaw": "mulaw", "pcm_alaw": "alaw"}[codec]
    with av.open(clip.path) as source, av.open(target, "w", muxer) as output:
        encode(source, output, output.add_stream(codec, rate, layout="mono"))
    return target.getvalue()
