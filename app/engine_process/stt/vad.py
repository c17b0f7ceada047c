"""
Where there is speech: Silero VAD version 6, run with numpy.

The network (MIT licence, github.com/snakers4/silero-vad) comes inside the wheel of faster-whisper; its weights are
read from that file as it is. Through onnxruntime it would cost 38-47 MB, this way 3. It is small: a spectrum,
four convolutions and one LSTM of 128 cells for every 32 ms, each heard with the 4 ms before it.
"""

import importlib.util
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...engine import protocol
from .mel import RATE, Floats, Samples

CHUNK = 512  # samples of one verdict: 32 ms at 16 kHz
CONTEXT = 64
HIDDEN = 128
FRAME = 256
BLOCK_CHUNKS = 32  # a second at a time: 30 of them would peak 10 MB higher


class Silero:
    """The network's weights; immutable, shared by all sessions."""

    def __init__(self, path: Path) -> None:
        tensors = dict(initializers(path.read_bytes()))
        # The file has the Fourier transform as a convolution of 258 x 256; a fast one takes a tenth of the time.
        self.taper = np.hanning(FRAME + 1)[:-1].astype(np.float32)
        self.convolutions = [
            (
                flattened(tensors[f"encoder.conv_layers.{i}.weight"]),
                tensors[f"encoder.conv_layers.{i}.bias"],
                stride,
            )
            for i, stride in enumerate((1, 2, 2, 1))
        ]
        # ONNX orders the gates input, output, forget, cell. sigmoid(x) is tanh(x / 2) / 2 + 1/2: with the first three
        # halved here, one tangent serves all four.
        halved = np.repeat(np.array([0.5, 0.5, 0.5, 1], np.float32), HIDDEN)
        self.input_weights = np.ascontiguousarray(tensors["onnx::LSTM_209"][0].T * halved)
        self.state_weights = np.ascontiguousarray(tensors["onnx::LSTM_210"][0].T * halved)
        biases = tensors["onnx::LSTM_211"][0]
        self.gate_biases = (biases[: 4 * HIDDEN] + biases[4 * HIDDEN :]) * halved
        self.verdict_weights = tensors["decoder.conv1d.weight"][0, :, 0]
        self.verdict_bias = float(tensors["decoder.conv1d.bias"][0])

    def features(self, chunks: Floats) -> Floats:
        """What the LSTM reads of each chunk, shape (chunks, 512), given their samples (chunks, 576)."""
        padded = np.concatenate([chunks, chunks[:, -2 : -CONTEXT - 2 : -1]], axis=1)
        frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME, axis=1)[:, :: FRAME // 2]
        layer = np.abs(np.fft.rfft(frames * self.taper, axis=2)).astype(np.float32)
        for weights, bias, stride in self.convolutions:
            layer = convolve(layer, weights, bias, stride)
        gates: Floats = layer[:, 0] @ self.input_weights + self.gate_biases
        return gates


class Leveller:
    """
    Makes what the network would miss audible to it: takes a constant off, and makes what is quiet louder.

    The network hears speech down to -50 dB; 30 dB more at most, towards a peak of -26 dB. The loudest of the last half
    minute counts, so that a pause does not become loud. One recording's.
    """

    QUIET_PEAK, MOST_GAIN = 0.05, 32.0
    PEAK_SECONDS, CONSTANT_SECONDS = 30.0, 1.0

    def __init__(self) -> None:
        self.constant: float | None = None
        self.peak = 0.0

    def __call__(self, chunks: Floats) -> Floats:
        """*chunks* of shape (chunks, 576), each levelled by what was heard up to its end."""
        out = np.empty_like(chunks)
        seconds = CHUNK / RATE
        for chunk, levelled in zip(chunks, out, strict=True):
            mean = float(chunk[CONTEXT:].mean())
            if self.constant is None:  # nothing came before
                self.constant, chunk = mean, np.where(np.arange(len(chunk)) < CONTEXT, mean, chunk)
            self.constant += (mean - self.constant) * seconds / self.CONSTANT_SECONDS
            np.subtract(chunk, self.constant, out=levelled)
            fading = self.peak * math.exp(-seconds / self.PEAK_SECONDS)
            self.peak = max(float(np.abs(levelled[CONTEXT:]).max()), fading, 1e-6)
            levelled *= min(self.MOST_GAIN, max(1.0, self.QUIET_PEAK / self.peak))
        return out


class SpeechDetector:
    """The probability of speech in one recording, 32 ms at a time; one session owns it."""

    def __init__(self, network: Silero) -> None:
        self.network = network
        self.level: Callable[[Floats], Floats] = Leveller()
        self.pending = np.zeros(CONTEXT, np.int16)
        self.hidden = np.zeros(HIDDEN, np.float32)
        self.cell = np.zeros(HIDDEN, np.float32)

    def hear(self, samples: Samples) -> list[float]:
        """Probabilities of the chunks that *samples* complete."""
        pending = np.concatenate([self.pending, samples])
        count = (len(pending) - CONTEXT) // CHUNK
        self.pending = pending[count * CHUNK :].copy()
        if not count:
            return []
        chunks = np.lib.stride_tricks.sliding_window_view(pending, CONTEXT + CHUNK)[::CHUNK][:count]
        probabilities: list[float] = []
        for first in range(0, count, BLOCK_CHUNKS):
            block = chunks[first : first + BLOCK_CHUNKS].astype(np.float32) / np.float32(32768)
            hidden = np.stack([self.step(gates) for gates in self.network.features(self.level(block))])
            verdicts = np.maximum(hidden, 0) @ self.network.verdict_weights + self.network.verdict_bias
            probabilities += (0.5 * np.tanh(0.5 * verdicts) + 0.5).tolist()
        return probabilities

    def finish(self) -> list[float]:
        """The probability of the last chunk, filled up with silence; nothing where none is begun."""
        begun = len(self.pending) - CONTEXT
        return self.hear(np.zeros(CHUNK - begun, np.int16)) if begun else []

    def step(self, gates: Floats) -> Floats:
        """One step of the LSTM: what it gives out, 128 numbers."""
        gates = np.tanh(gates + self.hidden @ self.network.state_weights)
        opened = gates[: 3 * HIDDEN] * 0.5 + 0.5
        self.cell = opened[2 * HIDDEN :] * self.cell + opened[:HIDDEN] * gates[3 * HIDDEN :]
        self.hidden = opened[HIDDEN : 2 * HIDDEN] * np.tanh(self.cell)
        return self.hidden


def load() -> Silero:
    """The network, from where faster-whisper is installed; none of its code is run."""
    package = importlib.util.find_spec("faster_whisper")
    places = package.submodule_search_locations if package else None
    path = Path(next(iter(places or [""]))) / "assets" / "silero_vad_v6.onnx"
    if not path.is_file():
        raise protocol.Refused(
            "misconfigured",
            "the package faster-whisper 1.2.1 is not installed; it has the detector's weights",
        )
    return Silero(path)


def flattened(kernel: Floats) -> Floats:
    """A kernel (out, in, 3) as the matrix (3 x in, out) that `convolve` multiplies with."""
    return np.ascontiguousarray(kernel.transpose(2, 1, 0).reshape(-1, len(kernel)))


def convolve(layer: Floats, weights: Floats, bias: Floats, stride: int) -> Floats:
    """Convolution of width 3 along axis 1, padded by one on either side, then the positive part."""
    count, length, channels = layer.shape
    padded = np.zeros((count, length + 2, channels), np.float32)
    padded[:, 1:-1] = layer
    # three neighbours lie one after the other in memory, so one product of matrices does for all
    patches = np.lib.stride_tricks.sliding_window_view(padded.reshape(count, -1), 3 * channels, axis=1)
    patches = patches[:, :: stride * channels]
    product = patches.reshape(-1, 3 * channels) @ weights + bias
    heard: Floats = np.maximum(product, 0).reshape(count, -1, len(bias))
    return heard


def initializers(model: bytes) -> Iterator[tuple[str, Floats]]:
    """
    The float tensors of an ONNX model by name.

    Of the format (onnx.proto) four fields matter: ModelProto.graph = 7, GraphProto.initializer = 5,
    TensorProto.dims = 1, data_type = 2 (float is 1), name = 8, raw_data = 9.
    """
    for graph in fields(memoryview(model))[7]:
        for tensor in map(fields, fields(graph)[5]):
            if tensor[2] == [1]:
                # a copy, for the file is let go of
                values = np.frombuffer(tensor[9][0], np.float32).reshape(tensor[1]).copy()
                yield bytes(tensor[8][0]).decode(), values


def fields(message: memoryview) -> dict[int, list[Any]]:
    """
    The values of a protocol buffer's fields by number (protobuf.dev/programming-guides/encoding).

    Of its wire types a model has two: integers, and bytes, which stay where they are.
    """
    found: dict[int, list[Any]] = defaultdict(list)
    at = 0
    value: Any
    while at < len(message):
        key, at = varint(message, at)
        value, at = varint(message, at)
        if key & 7 == 2:
            size, begin = value, at
            value, at = message[begin : begin + size], begin + size
        elif key & 7:
            raise ValueError(f"wire type {key & 7}: this is not a protocol buffer of a model")
        found[key >> 3].append(value)
    return found


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """The integer at *at*, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
