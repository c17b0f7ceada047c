"""What needs PyAV: compressed formats, other sampling rates, time stretching, and reading mp3 again."""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.filter import Graph
from av.packet import Packet

from ...engine.protocol import Header
from .encode import Patch, Raw

SLICE_SECONDS = 1  # fed to a codec at once: a sentence of 30 s need not exist three times


class NotAudio(Exception):
    """What should be mp3 is not."""


class Sink:
    """
    The file PyAV writes to: bytes go out as they come, what is rewritten later becomes a patch.

    It has to offer `seek`, or the mp3 muxer leaves out the header with the encoder's delay, and players
    start 46 ms late.
    """

    def __init__(self, patches: list[Patch]) -> None:
        self._patches = patches
        self._fresh = bytearray()
        self._position = self._end = 0

    def take(self) -> bytes:
        """What was appended since the last call."""
        taken, self._fresh = bytes(self._fresh), bytearray()
        return taken

    def write(self, written: bytes) -> int:
        """Append, or note a patch."""
        if self._position < self._end:
            self._patches.append((self._position, bytes(written)))
        else:
            self._fresh += written
        self._position += len(written)
        self._end = max(self._end, self._position)
        return len(written)

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go there, as `io.IOBase.seek` does."""
        self._position = offset + (0, self._position, self._end)[whence]
        return self._position


class Compressor(Raw):
    """
    One encoder in its container, both as a row of `speech/formats.py` names them, for samples at the file's own rate.

    Ogg and FLAC decode to exactly what went in, mp3 once it is patched (47 samples more at worst). An mp3
    that is streamed can't say how much of its end is padding: up to 1151 samples more. ADTS never can: the
    first packet, in which AAC only gets going (1024 samples), is left out, which leaves up to 1023.
    """

    def __init__(self, format: Header, rate: int) -> None:
        super().__init__(rate)
        self._container_name, self._sink = format["container"], Sink(self.patches)
        options = {"flush_packets": "1", **format["muxing"]}
        self._container = av.open(
            self._sink, "w", format=format["container"], options=options, buffer_size=4096
        )
        self._stream: AudioStream = self._container.add_stream(format["encoder"], rate=rate)
        self._stream.layout = "mono"
        self._stream.codec_context.options = format["encoding"]
        if format["bit_rate"]:
            self._stream.bit_rate = format["bit_rate"]
        self._getting_going = format["container"] == "adts"

    def feed(self, pcm: bytes) -> bytes:
        """The bytes that are ready after *pcm*."""
        for frame in frames(pcm, self.sample_rate, begin=self.samples):
            self.samples += frame.samples
            self._write(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        """The last bytes."""
        if self.samples:
            self._write(self._stream.encode(None))
        self._container.close()
        return self._sink.take()

    def _write(self, packets: "list[Packet[AudioStream]]") -> None:
        for packet in packets:
            # The mp3 encoder may end with a packet of nothing but padding.
            padding = self._container_name == "mp3" and not packet.duration
            if not (padding or self._getting_going):
                self._container.mux(packet)
            self._getting_going = False


class Resampler(Raw):
    """An encoder behind a change of sampling rate and tempo."""

    def __init__(self, inner: Raw, rate: int, *, tempo: float = 1.0) -> None:
        super().__init__(inner.sample_rate)
        self._inner, self._rate, self._fed = inner, rate, 0
        self.patches = inner.patches
        self._graph = Graph()
        second = Fraction(1, rate)
        steps = [self._graph.add_abuffer(sample_rate=rate, format="s16", layout="mono", time_base=second)]
        steps += [self._graph.add("atempo", f"{factor:.6f}") for factor in tempo_factors(tempo)]
        steps.append(self._graph.add("aresample", str(self.sample_rate)))
        steps.append(self._graph.add("aformat", "sample_fmts=s16:channel_layouts=mono"))
        steps.append(self._graph.add("abuffersink"))
        self._graph.link_nodes(*steps).configure()

    def feed(self, pcm: bytes) -> bytes:
        """The bytes that are ready after *pcm*."""
        encoded = b""
        for frame in frames(pcm, self._rate, begin=self._fed):
            self._fed += frame.samples
            self._graph.push(frame)
            encoded += self._inner.feed(self._pull())
        self.samples = self._inner.samples
        return encoded

    def finish(self) -> bytes:
        """The last bytes."""
        last = b""
        if self._fed:
            self._graph.push(None)
            last = self._inner.feed(self._pull())
        self.samples = self._inner.samples
        return last + self._inner.finish()

    def _pull(self) -> bytes:
        parts = []
        while True:
            try:
                parts.append(samples_of(cast(AudioFrame, self._graph.pull())))
            except (av.BlockingIOError, av.EOFError):
                return b"".join(parts)


def tempo_factors(tempo: float) -> list[float]:
    """Factors that make *tempo*, each within what one atempo filter does well (0.5 to 2)."""
    factors = []
    while not 0.5 <= tempo <= 2.0:
        factors.append(0.5 if tempo < 0.5 else 2.0)
        tempo /= factors[-1]
    return [*factors, tempo]


def frames(pcm: bytes, rate: int, *, begin: int = 0) -> Iterator[AudioFrame]:
    """*pcm* as frames of at most a second, the first of them at sample *begin*."""
    for start in range(0, len(pcm), 2 * rate * SLICE_SECONDS):
        part = pcm[start : start + 2 * rate * SLICE_SECONDS]
        frame = AudioFrame(format="s16", layout="mono", samples=len(part) // 2)
        plane = frame.planes[0]
        plane.update(part.ljust(plane.buffer_size, b"\0"))
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), begin + start // 2
        yield frame


def samples_of(frame: AudioFrame) -> bytes:
    """The samples of an s16 mono frame."""
    return bytes(frame.planes[0])[: 2 * frame.samples]


def decoded(mp3: bytes, rate: int) -> bytes:
    """*mp3* as 16-bit mono samples at *rate*."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    parts = []
    try:
        with av.open(io.BytesIO(mp3), "r", format="mp3") as container:
            for frame in container.decode(audio=0):
                parts += [samples_of(piece) for piece in resampler.resample(frame)]
    except (av.FFmpegError, IndexError) as problem:
        raise NotAudio(str(problem)) from None
    parts += [samples_of(piece) for piece in resampler.resample(None)]
    return b"".join(parts)
