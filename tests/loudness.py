"""How loud a recording is, by the European Broadcasting Union's recommendation R 128."""

from fractions import Fraction

import av
import numpy


def lufs(pcm: bytes, rate: int) -> float:
    """Integrated loudness of 16-bit mono samples, as FFmpeg's filter ebur128 measures it."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="s16", layout="mono", time_base=Fraction(1, rate))
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(numpy.frombuffer(pcm, "<i2")[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    graph.push(frame)
    graph.push(None)
    found: dict[str, str] = {}
    while True:
        try:
            found |= graph.pull().metadata
        except (av.error.EOFError, av.error.BlockingIOError):
            return float(found["lavfi.r128.I"])
