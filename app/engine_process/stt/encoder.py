"""
Whisper's encoder, with its weights left in the file.

The arithmetic is CTranslate2's own, or numpy's (`kernels.py`). What differs is how much stands in memory at a time.
CTranslate2 holds all weights, and the scores of all heads at once: 9 MB a head. Here the weights are mapped from
`encoder.bin` and let go after each layer, and 125 queries of one head are looked at at a time, or 188 rows of a layer:
that much stays in the processor's cache, so it is quicker, too.

One window, of *t* positions (1500 for 30 s) and width *d*:

    features (bands, 2t) - conv1, gelu - conv2, gelu - + positions -> x (t, d)
    in each layer        x += out(attention(qkv(norm x)));  x += down(gelu(up(norm x)))
    norm x

A thread does what rows need that depend on no other rows: the stem; then, with a wait for each other in between, the
attention of its heads, and the rest of the layer together with the next one's queries, keys and values.
"""

import mmap
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .convert import ENCODER, read_index
from .kernels import Kernels, Linear
from .mel import Floats

ROWS = 188  # an eighth of 1500
QUERIES = 125
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's weights, and where they lie in the file."""

    qkv: Linear
    out: Linear
    up: Linear
    down: Linear
    before: tuple[Floats, Floats]  # gamma and beta of the norm before attention
    between: tuple[Floats, Floats]
    begin: int
    size: int


class Encoder:
    """One model's encoder; one call at a time, from any thread."""

    def __init__(self, model_dir: Path, kernels: Kernels, threads: int) -> None:
        self.kernels = kernels
        self.threads = threads
        # One of them is whoever calls.
        self.pool = (
            ThreadPoolExecutor(threads - 1, initializer=kernels.limit_threads) if threads > 1 else None
        )
        with (model_dir / ENCODER).open("rb") as file:
            self.heads, index = read_index(file)
            self.map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        tensors = {
            name: np.frombuffer(self.map, dtype, prod(shape), begin).reshape(shape)
            for name, (begin, dtype, shape) in index.items()
        }
        self.layers = list(_layers(tensors, index))
        self.convolutions = [
            (tensors[f"{name}/weight"], tensors[f"{name}/bias"]) for name in ("conv1", "conv2")
        ]
        self.positions: Floats = tensors["positions"]
        self.last_norm: tuple[Floats, Floats] = (tensors["norm/gamma"], tensors["norm/beta"])

    def encode(self, features: Floats) -> Floats:
        """*features* (1, bands, 2t) to (1, t, width)."""
        self.kernels.limit_threads()  # of the caller, who may be another thread each time
        x = self._stem(features[0])
        count, width = x.shape
        qkv = np.empty((count, 3 * width), np.float32)
        blocks, depth = self._blocks(count), width // self.heads
        parts = [
            (slice(begin, min(begin + QUERIES, count)), head * depth)
            for head in range(self.heads)
            for begin in range(0, count, QUERIES)
        ]
        self._share(lambda block: self._project(x[block], self.layers[0], qkv[block]), blocks)
        for layer, following in zip(self.layers, [*self.layers[1:], None], strict=True):
            self._share(lambda part: self._attend(qkv, depth, *part), parts)
            self._share(partial(self._rest, x, qkv, layer, following), blocks)
            self.map.madvise(mmap.MADV_DONTNEED, layer.begin, layer.size)
        self.kernels.norm(x, *self.last_norm, x)
        self.map.madvise(mmap.MADV_DONTNEED)
        self.kernels.release()
        return x[None]

    def _blocks(self, count: int) -> list[slice]:
        """*count* rows in blocks, a few for each thread."""
        rows = min(ROWS, -(-count // self.threads))
        return [slice(begin, min(begin + rows, count)) for begin in range(0, count, rows)]

    def _share(self, work: Callable[[Item], None], items: Iterable[Item]) -> None:
        """Have all threads do *work* on the *items*, each on the next one that is left."""
        left = iter(items)

        def member() -> None:
            for item in left:
                work(item)

        others = [self.pool.submit(member) for _ in range(self.threads - 1)] if self.pool else []
        member()
        for other in others:
            other.result()

    def _stem(self, features: Floats) -> Floats:
        """*features* (bands, 2t) through two convolutions over three frames each, the second with every other frame."""
        bands, frames = features.shape
        padded = np.zeros((frames + 2, bands), np.float32)
        padded[1:-1] = features.T
        x = np.empty((frames // 2, self.positions.shape[1]), np.float32)

        def stem(block: slice) -> None:
            # What the second convolution looks at, with a row of zeros before the first frame and after the last.
            first, last = max(0, 2 * block.start - 1), min(frames, 2 * block.stop + 1)
            inner = np.zeros((2 * (block.stop - block.start) + 2, x.shape[1]), np.float32)
            lead = first - (2 * block.start - 1)
            self._convolve(padded[first : last + 2], 1, 0, inner[lead : lead + last - first])
            self._convolve(inner, 2, 1, x[block])
            x[block] += self.positions[block]

        self._share(stem, self._blocks(len(x)))
        return x

    def _convolve(self, source: Floats, stride: int, number: int, out: Floats) -> None:
        """
        Convolution *number* and GELU: one product for each of the three frames it looks at.

        As one product of overlapping rows it would be wrong with MKL, which wants rows that do not overlap.
        """
        weight, bias = self.convolutions[number]
        for tap in range(3):
            rows = source[tap : tap + stride * (len(out) - 1) + 1 : stride]
            self.kernels.multiply(rows, weight[:, tap].T, out, add=tap > 0)
        out += bias
        self.kernels.gelu(out)

    def _project(self, x: Floats, layer: Layer, qkv: Floats) -> None:
        """The queries, keys and values of some rows of *x*."""
        normed = np.empty_like(x)
        self.kernels.norm(x, *layer.before, normed)
        self.kernels.linear(normed, layer.qkv, qkv)

    def _attend(self, qkv: Floats, depth: int, queries: slice, at: int) -> None:
        """Attention of the head at column *at*, written where its *queries* stood."""
        width = qkv.shape[1] // 3
        own = qkv[queries, at : at + depth]
        keys, values = (qkv[:, place + at : place + at + depth] for place in (width, 2 * width))
        scores = np.empty((len(own), len(qkv)), np.float32)
        self.kernels.multiply(own, keys.T, scores, scale=depth**-0.5)
        self.kernels.softmax(scores)
        self.kernels.multiply(scores, values, own)

    def _rest(self, x: Floats, qkv: Floats, layer: Layer, following: Layer | None, block: slice) -> None:
        """What follows attention in a layer, for a *block* of rows, up to what the *following* one attends to."""
        x, qkv = x[block], qkv[block]
        inner = np.ascontiguousarray(qkv[:, : x.shape[1]])
        out = np.empty_like(inner)
        self.kernels.linear(inner, layer.out, out)
        x += out
        self.kernels.norm(x, *layer.between, inner)
        wide = np.empty((len(x), 4 * x.shape[1]), np.float32)
        self.kernels.linear(inner, layer.up, wide, gelu=True)
        self.kernels.linear(wide, layer.down, out)
        x += out
        if following is not None:
            self._project(x, following, qkv)


def _layers(tensors: dict[str, npt.NDArray[Any]], index: dict[str, Any]) -> Iterator[Layer]:
    """The layers, which lie one after the other in the file, each from the beginning of a page."""
    number = 0
    while f"{number}/qkv/weight" in tensors:
        parts = [
            Linear(*(tensors[f"{number}/{part}/{name}"] for name in ("weight", "scale", "bias", "shift")))
            for part in ("qkv", "out", "up", "down")
        ]
        norms = [
            (tensors[f"{number}/{norm}/gamma"], tensors[f"{number}/{norm}/beta"])
            for norm in ("before", "between")
        ]
        inside = [name for name in index if name.startswith(f"{number}/")]
        begin = min(index[name][0] for name in inside)
        end = max(index[name][0] + tensors[name].nbytes for name in inside)
        yield Layer(parts[0], parts[1], parts[2], parts[3], norms[0], norms[1], begin, end - begin)
        number += 1
