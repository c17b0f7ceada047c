"""
The encoder's arithmetic, on arrays of 32-bit floats with rows one after the other: by CTranslate2, or by numpy.

`libctranslate2` exports the functions its own encoder is made of. They are no interface of its authors': the names
are those of C++ (Itanium ABI, seen in the wheels 4.8.5 for x86-64 and aarch64), found by `ctypes`, and `choose` tries
each on small arrays against numpy before any is relied upon. numpy's arithmetic needs no symbol and takes twice the
time.
"""

import ctypes
import logging
from collections.abc import Callable
from ctypes import c_bool, c_float, c_int, c_long, c_ulong, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...engine import protocol
from ..native import loaded_library
from .mel import Floats

log = logging.getLogger(__name__)

EPSILON = 1e-5  # of layer normalization, CTranslate2's and OpenAI's
GELU = 3  # the number of its exact form, with erf, in CTranslate2's `ops/activation.h`
# Of outputs about 1: int8 rounds inputs to 127 steps, so a product may differ by 0.8 %.
TRIED_DIFFERENCE = 0.02


@dataclass(frozen=True, slots=True)
class Linear:
    """An int8 layer: (out, in) weights and, for each output, their scale, its bias, and -128 times the sum of them."""

    weight: npt.NDArray[np.int8]
    scale: Floats
    bias: Floats
    shift: npt.NDArray[np.int32]


class Kernels:
    """
    What an encoder is computed with; any number of threads may, each in arrays of its own.

    These compute with 32-bit floats, by numpy's OpenBLAS (one thread: `launch.py` sets OPENBLAS_NUM_THREADS).
    """

    name = "numpy"

    def limit_threads(self) -> None:
        """Have the calling thread's kernels run in this thread alone; numpy's do."""

    def linear(self, x: Floats, layer: Linear, out: Floats, *, gelu: bool = False) -> None:
        """*out* (rows, out) = *x* (rows, in) through *layer*, and through GELU where that follows."""
        np.matmul(x, layer.weight.astype(np.float32).T, out=out)
        out /= layer.scale
        out += layer.bias
        if gelu:
            self.gelu(out)

    def multiply(self, a: Floats, b: Floats, out: Floats, *, scale: float = 1, add: bool = False) -> None:
        """
        *out* = *scale* x *a* @ *b*, added to what is in it if *add*.

        Rows may be strided, and *b* may be transposed: then it is its columns that lie one after the other.
        """
        product = a @ b
        product *= np.float32(scale)
        if add:
            out += product
        else:
            out[:] = product

    def softmax(self, x: Floats) -> None:
        """In place, over each row."""
        x -= x.max(axis=1, keepdims=True)
        np.exp(x, out=x)
        x /= x.sum(axis=1, keepdims=True)

    def norm(self, x: Floats, gamma: Floats, beta: Floats, out: Floats) -> None:
        """Layer normalization of each row."""
        np.subtract(x, x.mean(axis=1, keepdims=True), out=out)
        out /= np.sqrt(np.einsum("ij,ij->i", out, out) / np.float32(out.shape[1]) + np.float32(EPSILON))[
            :, None
        ]
        out *= gamma
        out += beta

    def gelu(self, x: Floats) -> None:
        """In place: x/2 (1 + erf(x / sqrt 2)), with erf within 1.5e-7 (Abramowitz and Stegun 7.1.26)."""
        z = np.abs(x) * np.float32(0.5**0.5)
        t = 1 / (1 + np.float32(0.3275911) * z)
        series = t * np.float32(1.061405429)
        for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            series += np.float32(factor)
            series *= t
        np.multiply(z, -z, out=z)
        np.exp(z, out=z)
        z *= series
        np.subtract(1, z, out=z)
        np.copysign(z, x, out=z)
        z += 1
        z *= np.float32(0.5)
        x *= z

    def release(self) -> None:
        """Give back what the kernels keep for themselves between calls; numpy keeps nothing."""


class CTranslateKernels(Kernels):
    """Those of CTranslate2's own encoder, with int8 products; AttributeError where its library lacks a name."""

    name = "kernels"

    def __init__(self, library: ctypes.CDLL) -> None:
        isa = _function(library, "_ZN11ctranslate23cpu11get_cpu_isaEv", c_int)()
        # Where int8 products want unsigned inputs (x86 before VNNI, and MKL): they get 128 more, `Linear.shift` less.
        self._unsigned = _function(library, "_ZN11ctranslate23cpu19prefer_u8s8s32_gemmEv", c_bool)()
        cpu = f"ILNS0_6CpuIsaE{isa}EEEv"
        gemm = "_ZN11ctranslate210primitivesILNS_6DeviceE0EE4gemmI{}EEvbbbblllfPKT_lS6_lfPT0_lPKS7_"
        flags, sizes, matrix = (c_bool,) * 4, (c_long,) * 3, (c_void_p, c_long)
        product = (*flags, *sizes, c_float, *matrix, *matrix, c_float, *matrix, c_void_p)
        pointer, size = c_void_p, c_long
        self._gemm_int8 = _function(library, gemm.format("ai"), None, *product)
        self._gemm = _function(library, gemm.format("ff"), None, *product)
        self._quantize = _function(
            library, f"_ZN11ctranslate23cpu11quantize_s8{cpu}PKfPaPfllbb",
            None, pointer, pointer, pointer, size, size, c_bool, c_bool,
        )  # fmt: skip
        self._dequantize = _function(
            library, f"_ZN11ctranslate23cpu22dequantize_gemm_output{cpu}PKiPKfS6_llPfS6_PKNS_3ops14ActivationTypeE",
            None, pointer, pointer, pointer, size, size, pointer, pointer, ctypes.POINTER(c_int),
        )  # fmt: skip
        self._norm = _function(
            library, f"_ZN11ctranslate23cpu10layer_norm{cpu}PKfS4_S4_Pfllf",
            None, pointer, pointer, pointer, pointer, size, size, c_float,
        )  # fmt: skip
        self._softmax = _function(
            library, f"_ZN11ctranslate23cpu7softmax{cpu}PKfPKiPfllb",
            None, pointer, pointer, pointer, size, size, c_bool,
        )  # fmt: skip
        self._gelu = _function(library, f"_ZN11ctranslate23cpu4gelu{cpu}PKfPfl", None, pointer, pointer, size)
        self._set_num_threads = _function(library, "_ZN11ctranslate215set_num_threadsEm", None, c_ulong)
        # MKL keeps 4 MB and more for each thread that multiplied; builds without it have no such function.
        self._free_buffers: Callable[[], object] = getattr(library, "MKL_Free_Buffers", lambda: None)
        self._then_gelu = ctypes.byref(c_int(GELU))

    def limit_threads(self) -> None:
        """OpenMP's own threads inside ours once made 11 s of work 100."""
        self._set_num_threads(1)

    def linear(self, x: Floats, layer: Linear, out: Floats, *, gelu: bool = False) -> None:
        """The 32-bit integer product stands in *out* before it becomes floats there."""
        (rows, depth), width = x.shape, len(layer.bias)
        integers, scales = np.empty((rows, depth), np.int8), np.empty(rows, np.float32)
        source, factors, target = _address(integers), _address(scales), _address(out)
        self._quantize(_address(x), source, factors, rows, depth, self._unsigned, True)
        shift = _address(layer.shift) if self._unsigned else None
        weight = _address(layer.weight)
        self._gemm_int8(
            False, False, False, True, rows, width, depth, 1, source, depth, weight, depth, 0, target, width, shift
        )  # fmt: skip
        self._dequantize(
            target, factors, _address(layer.scale), rows, width, target, _address(layer.bias),
            self._then_gelu if gelu else None,
        )  # fmt: skip

    def multiply(self, a: Floats, b: Floats, out: Floats, *, scale: float = 1, add: bool = False) -> None:
        rows, depth = a.shape
        transposed = b.strides[1] > b.itemsize
        self._gemm(
            False, False, False, transposed, rows, out.shape[1], depth, scale, _address(a), a.strides[0] >> 2,
            _address(b), max(b.strides) >> 2, add, _address(out), out.strides[0] >> 2, None,
        )  # fmt: skip

    def softmax(self, x: Floats) -> None:
        self._softmax(_address(x), None, _address(x), *x.shape, False)

    def norm(self, x: Floats, gamma: Floats, beta: Floats, out: Floats) -> None:
        self._norm(_address(x), _address(gamma), _address(beta), _address(out), *x.shape, EPSILON)

    def gelu(self, x: Floats) -> None:
        self._gelu(_address(x), _address(x), x.size)

    def release(self) -> None:
        """142 to 148 MB at the decoder's peak became 129 with MKL."""
        self._free_buffers()


def choose(choice: str, library: Callable[[], ctypes.CDLL] = loaded_library) -> Kernels:
    """
    *choice* "kernels" or "numpy"; with "auto" numpy only where CTranslate2's kernels are missing or miscompute.

    Refused where "kernels" are asked for and can't be had.
    """
    if choice == "numpy":
        return Kernels()
    try:
        kernels = CTranslateKernels(library())
        if wrong := differences(kernels):
            raise LookupError(f"{', '.join(wrong)} of CTranslate2 differs from numpy")
    except (AttributeError, OSError, LookupError) as error:
        if choice == "kernels":
            raise protocol.Refused(
                "misconfigured", f"WHISPER_ENCODER=kernels: {error}; set it to auto"
            ) from None
        log.warning("the encoder runs on numpy, at half the speed: %s", error)
        return Kernels()
    return kernels


def differences(kernels: Kernels) -> list[str]:
    """The names of those of *kernels* whose answers on small arrays are not numpy's."""
    random, numpy = np.random.default_rng(0), Kernels()
    kernels.limit_threads()

    def floats(*shape: int) -> Floats:
        return random.standard_normal(shape, np.float32)

    x, heads, gamma, beta = floats(9, 64), floats(9, 192), floats(64), floats(64)
    weight = random.integers(-127, 128, (96, 64), np.int8)
    shift = -128 * weight.sum(axis=1, dtype=np.int32)
    layer = Linear(weight, np.full(96, 600, np.float32), floats(96), shift)
    queries, keys = heads[:, :64], heads[:, 64:128]
    # What stands in the array before, and what is done with it.
    trials: dict[str, tuple[Floats, Callable[[Kernels, Floats], None]]] = {
        "linear": (floats(9, 96), lambda k, out: k.linear(x, layer, out)),
        "linear and gelu": (floats(9, 96), lambda k, out: k.linear(x, layer, out, gelu=True)),
        "multiply": (x, lambda k, out: k.multiply(x[:, :9], keys, out, scale=0.25)),
        "multiply and add": (x, lambda k, out: k.multiply(x[:, :9], keys, out, add=True)),
        "multiply transposed": (floats(9, 9), lambda k, out: k.multiply(queries, keys.T, out, scale=0.125)),
        "norm": (floats(9, 64), lambda k, out: k.norm(x, gamma, beta, out)),
        "softmax": (x, lambda k, out: k.softmax(out)),
        "gelu": (x, lambda k, out: k.gelu(out)),
    }
    wrong = []
    for name, (before, compute) in trials.items():
        expected, found = before.copy(), before.copy()
        compute(numpy, expected)
        compute(kernels, found)
        # Not `>`: what is no number is wrong, too.
        if not np.abs(found - expected).max() <= TRIED_DIFFERENCE * (1 + np.abs(expected).max()):
            wrong.append(name)
    return wrong


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:  # Any: ctypes' own types
    # Not `getattr`'s: that is one object for all who use the library, and its types would be set for them too.
    return ctypes.CFUNCTYPE(result, *arguments)((name, library))


def _address(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])
