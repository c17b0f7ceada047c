"""How loud a recording is, by the European Broadcasting Union's recommendation R 128."""

import re
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy


def lufs(pcm: bytes, rate: int) -> float:
    """Integrated loudness of 16-bit mono samples, as FFmpeg's filter ebur128 measures it."""
    with (
        tempfile.NamedTemporaryFile() as told
    ):  # PyAV 17, the last for Python 3.10, shows no metadata of frames
        _measure(pcm, rate, told.name)
        return float(re.findall(r"lavfi\.r128\.I=(\S+)", Path(told.name).read_text())[-1])


def _measure(pcm: bytes, rate: int, path: str) -> None:
    """Have the filters write into *path* what they find."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="s16", layout="mono", time_base=Fraction(1, rate))
    meter = graph.add("ebur128", "metadata=1")
    writer, sink = graph.add("ametadata", f"mode=print:file={path}"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(writer)
    writer.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(numpy.frombuffer(pcm, "<i2")[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    graph.push(frame)
    graph.push(None)
    while True:
        try:
            graph.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return
