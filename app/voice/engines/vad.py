"""
Where there is speech: Silero VAD version 6, run with numpy.

The network (MIT licence, github.com/snakers4/silero-vad) comes inside the wheel of faster-whisper; its weights are
read from that file as it is. Through onnxruntime it would cost 38-47 MB, this way 3. It is small: a spectrum,
four convolutions and one LSTM of 128 cells for every 32 ms, each heard with the 4 ms before it.
"""

import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .. import wire

CHUNK = 512  # samples of one verdict: 32 ms at 16 kHz
CONTEXT = 64
HIDDEN = 128
BLOCK_CHUNKS = 32  # a second at a time: 30 of them would peak 10 MB higher
Floats = npt.NDArray[np.float32]


class Silero:
    """The network's weights; immutable, shared by all sessions."""

    def __init__(self, path: Path) -> None:
        tensors = dict(initializers(path.read_bytes()))
        spectrum = tensors["encoder.feature_extractor.forward_basis_buffer"]
        self.basis = np.ascontiguousarray(spectrum[:, 0].T)
        self.convolutions = [
            (tensors[f"encoder.conv_layers.{i}.weight"], tensors[f"encoder.conv_layers.{i}.bias"], stride)
            for i, stride in enumerate((1, 2, 2, 1))
        ]
        self.input_weights = np.ascontiguousarray(tensors["onnx::LSTM_209"][0].T)
        self.state_weights = np.ascontiguousarray(tensors["onnx::LSTM_210"][0].T)
        biases = tensors["onnx::LSTM_211"][0]
        self.gate_biases = biases[: 4 * HIDDEN] + biases[4 * HIDDEN :]
        self.verdict_weights = tensors["decoder.conv1d.weight"][0, :, 0]
        self.verdict_bias = float(tensors["decoder.conv1d.bias"][0])

    def features(self, chunks: Floats) -> Floats:
        """What the LSTM reads of each chunk, shape (chunks, 512), given their samples (chunks, 576)."""
        padded = np.concatenate([chunks, chunks[:, -2 : -CONTEXT - 2 : -1]], axis=1)
        frames = np.lib.stride_tricks.sliding_window_view(padded, 256, axis=1)[:, ::128]
        transformed = frames.reshape(-1, 256) @ self.basis
        half = transformed.shape[1] // 2
        magnitude = np.sqrt(transformed[:, :half] ** 2 + transformed[:, half:] ** 2)
        layer = magnitude.reshape(len(chunks), -1, half)
        for weights, bias, stride in self.convolutions:
            layer = convolve(layer, weights, bias, stride)
        gates: Floats = layer[:, 0] @ self.input_weights + self.gate_biases
        return gates


class SpeechDetector:
    """The probability of speech in one recording, 32 ms at a time; one session owns it."""

    def __init__(self, network: Silero) -> None:
        self.network = network
        self.pending = np.zeros(CONTEXT, np.int16)
        self.hidden = np.zeros(HIDDEN, np.float32)
        self.cell = np.zeros(HIDDEN, np.float32)

    def hear(self, samples: npt.NDArray[np.int16]) -> list[float]:
        """Probabilities of the chunks that *samples* complete."""
        pending = np.concatenate([self.pending, samples])
        count = (len(pending) - CONTEXT) // CHUNK
        self.pending = pending[count * CHUNK :].copy()
        if not count:
            return []
        chunks = np.lib.stride_tricks.sliding_window_view(pending, CONTEXT + CHUNK)[::CHUNK][:count]
        probabilities: list[float] = []
        for first in range(0, count, BLOCK_CHUNKS):
            block = chunks[first : first + BLOCK_CHUNKS].astype(np.float32) / 32768
            probabilities += [self.step(gates) for gates in self.network.features(block)]
        return probabilities

    def finish(self) -> list[float]:
        """The probability of the last chunk, filled up with silence; nothing where none is begun."""
        begun = len(self.pending) - CONTEXT
        return self.hear(np.zeros(CHUNK - begun, np.int16)) if begun else []

    def step(self, gates: Floats) -> float:
        """One step of the LSTM; ONNX orders its gates input, output, forget, cell."""
        gates = gates + self.hidden @ self.network.state_weights
        opened = sigmoid(gates[: 3 * HIDDEN])
        self.cell = opened[2 * HIDDEN :] * self.cell + opened[:HIDDEN] * np.tanh(gates[3 * HIDDEN :])
        self.hidden = opened[HIDDEN : 2 * HIDDEN] * np.tanh(self.cell)
        verdict = np.maximum(self.hidden, 0) @ self.network.verdict_weights + self.network.verdict_bias
        return float(sigmoid(verdict))


def load() -> Silero:
    """The network, from where faster-whisper is installed; none of its code is run."""
    package = importlib.util.find_spec("faster_whisper")
    places = package.submodule_search_locations if package else None
    path = Path(next(iter(places or [""]))) / "assets" / "silero_vad_v6.onnx"
    if not path.is_file():
        raise wire.Refused("misconfigured", "the package faster-whisper 1.2.1 is not installed; it has the gate")
    return Silero(path)


def convolve(layer: Floats, weights: Floats, bias: Floats, stride: int) -> Floats:
    """Convolution of width 3 along axis 1, padded by one on either side, then the positive part."""
    padded = np.pad(layer, ((0, 0), (1, 1), (0, 0)))
    width = (layer.shape[1] - 1) // stride + 1
    total = sum(
        padded[:, tap : tap + stride * (width - 1) + 1 : stride] @ weights[:, :, tap].T for tap in range(3)
    )
    return np.maximum(total + bias, 0)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), by a tangent that cannot overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def initializers(model: bytes) -> Iterator[tuple[str, Floats]]:
    """
    The float tensors of an ONNX model by name.

    Of the format (onnx.proto) four fields matter: ModelProto.graph = 7, GraphProto.initializer = 5,
    TensorProto.dims = 1, data_type = 2 (float is 1), name = 8, raw_data = 9.
    """
    for field, graph in fields(model):
        if field != 7 or not isinstance(graph, bytes):
            continue
        for kind, tensor in fields(graph):
            if kind != 5 or not isinstance(tensor, bytes):
                continue
            shape: list[int] = []
            name, raw, is_float = "", b"", False
            for key, value in fields(tensor):
                if key == 1 and isinstance(value, int):
                    shape.append(value)
                elif key == 1 and isinstance(value, bytes):  # the same, packed
                    shape.extend(packed(value))
                elif key == 2:
                    is_float = value == 1
                elif key == 8 and isinstance(value, bytes):
                    name = value.decode()
                elif key == 9 and isinstance(value, bytes):
                    raw = value
            if is_float:
                yield name, np.frombuffer(raw, np.float32).reshape(shape)


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protocol buffer (protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        match key & 7:
            case 0:
                value, at = varint(message, at)
                yield key >> 3, value
            case 2:
                size, at = varint(message, at)
                yield key >> 3, message[at : at + size]
                at += size
            case 1:
                yield key >> 3, struct.unpack_from("<q", message, at)[0]
                at += 8
            case 5:
                yield key >> 3, struct.unpack_from("<i", message, at)[0]
                at += 4
            case other:
                raise ValueError(f"wire type {other}: this is not a protocol buffer")


def packed(message: bytes) -> Iterator[int]:
    """Integers written one after the other."""
    at = 0
    while at < len(message):
        value, at = varint(message, at)
        yield value


def varint(message: bytes, at: int) -> tuple[int, int]:
    """The integer at *at*, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
