import ctypes
import importlib.metadata

import numpy as np
import pytest

from app.engine.protocol import Refused
from app.engine_process.stt import kernels
from app.engine_process.stt.kernels import CTranslateKernels, Kernels, Linear

PINNED = "4.8"


@pytest.fixture(scope="module")
def library():
    return kernels.loaded_library()


def test_this_ctranslate2_has_every_name(library):
    """An upgrade that lacks one would run at half the speed, with a warning in the log."""
    version = importlib.metadata.version("ctranslate2")
    try:
        CTranslateKernels(library)
    except AttributeError as error:
        pytest.fail(
            f"ctranslate2 {version} has not what the encoder is computed with: {error}. "
            f"Stay with {PINNED}, or find its new name (nm -D --demangle) and try kernels.py again."
        )


def test_its_answers_are_those_of_numpy(library):
    assert kernels.differences(CTranslateKernels(library)) == []


@pytest.mark.parametrize("name", ["linear", "multiply", "norm", "softmax", "gelu"])
def test_a_kernel_that_miscomputes_is_found(library, name):
    class Wrong(CTranslateKernels):
        pass

    def doubled(self, *arguments, **named):
        getattr(CTranslateKernels, name)(self, *arguments, **named)
        out = arguments[0] if name in ("softmax", "gelu") else arguments[-1]
        out *= 2

    setattr(Wrong, name, doubled)
    assert any(found.startswith(name) for found in kernels.differences(Wrong(library)))


def test_a_kernel_that_answers_no_number_is_found(library):
    class Broken(CTranslateKernels):
        def gelu(self, x):
            x[:] = np.nan

    assert kernels.differences(Broken(library)) == ["gelu"]


def test_a_library_without_the_names_means_numpy(caplog):
    other = lambda: ctypes.CDLL(None)  # noqa: E731
    assert kernels.choose("auto", other).name == "numpy"
    assert "half the speed" in caplog.text
    with pytest.raises(Refused, match="WHISPER_ENCODER"):
        kernels.choose("kernels", other)


def test_who_asks_for_numpy_gets_it():
    assert type(kernels.choose("numpy")) is Kernels


def test_numpy_computes_what_the_formulas_say():
    """GELU: x/2 (1 + erf(x / sqrt 2)); a linear layer: x @ (weight / scale).T + bias."""
    from math import erf, sqrt

    numpy = Kernels()
    x = np.linspace(-6, 6, 101, dtype=np.float32)[None]
    out = x.copy()
    numpy.gelu(out)
    assert out[0] == pytest.approx([v / 2 * (1 + erf(v / sqrt(2))) for v in x[0].tolist()], abs=1e-6)
    layer = Linear(np.array([[127, -64]], np.int8), np.float32([254]), np.float32([1]), np.int32([0]))
    out = np.empty((1, 1), np.float32)
    numpy.linear(np.float32([[2, 4]]), layer, out)
    assert out[0, 0] == pytest.approx(2 * 0.5 - 4 * 64 / 254 + 1)
    rows = np.float32([[1, 2, 3], [4, 4, 4]])
    numpy.softmax(rows)
    assert rows[0].tolist() == pytest.approx([0.0900306, 0.2447285, 0.6652410], abs=1e-6)
    assert rows[1].tolist() == pytest.approx([1 / 3] * 3)
