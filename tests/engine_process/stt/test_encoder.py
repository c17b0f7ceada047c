"""The encoder against CTranslate2's own, on a real model and real speech."""

import numpy as np
import pytest

from app.engine_process.native import extension
from app.engine_process.stt import kernels
from app.engine_process.stt.decode import decode
from app.engine_process.stt.encoder import Encoder
from app.engine_process.stt.mel import LogMel
from app.engine_process.stt.recording import Recording
from tests import recordings

# CTranslate2's int8 and its float32 encoder differ by 0.023 on average here, so 0.05 is the arithmetic and not a fault.
MEAN_DIFFERENCE = 0.05


@pytest.fixture(scope="module")
def features():
    """Half a minute that begins with 11 s of speech: (1, 80, 3000)."""
    recording = Recording(decode(str(recordings.AUSTEN.path), 60), None)
    frames = recording.advance(0)
    return LogMel(80)(recording.window(0, frames), frames).copy()


@pytest.fixture(scope="module")
def stock(stock_dir, features):
    """What CTranslate2's encoder makes of *features*."""
    model = extension().Whisper(str(stock_dir), "cpu", compute_type="int8")
    return np.array(model.encode(extension().StorageView.from_array(features)))


@pytest.mark.parametrize(
    ("choice", "threads"),
    [
        ("auto", 1), ("auto", 2), ("auto", 3), ("numpy", 2),
        *(pytest.param("numpy", threads, marks=pytest.mark.long) for threads in (1, 3)),
    ],
)  # fmt: skip
def test_it_encodes_as_ctranslate2_does(model_dir, features, stock, choice, threads):
    found = Encoder(model_dir, kernels.choose(choice), threads).encode(features)
    assert found.shape == stock.shape == (1, 1500, 384)
    assert np.abs(found - stock).mean() < MEAN_DIFFERENCE


@pytest.mark.parametrize("frames", [2, 4, 376, 378, 1402, 2998])
def test_a_shorter_window_is_encoded_at_its_own_length(model_dir, features, frames):
    """Whatever the blocks: one thread and three, which divide the rows otherwise, find the same."""
    part = np.ascontiguousarray(features[:, :, :frames])
    one, three = (Encoder(model_dir, kernels.choose("auto"), threads).encode(part) for threads in (1, 3))
    assert one.shape == (1, frames // 2, 384)
    assert np.isfinite(one).all()
    assert np.abs(one - three).mean() < MEAN_DIFFERENCE


def test_it_encodes_the_same_each_time(model_dir, features):
    encoder = Encoder(model_dir, kernels.choose("auto"), 2)
    first = encoder.encode(features)
    assert np.array_equal(first, encoder.encode(features))


def test_a_fault_in_a_thread_reaches_the_caller(model_dir, features):
    class Faulty(kernels.Kernels):
        def softmax(self, x):
            raise MemoryError

    encoder = Encoder(model_dir, Faulty(), 2)
    for _ in range(2):  # and nothing waits for ever
        with pytest.raises(MemoryError):
            encoder.encode(features)
