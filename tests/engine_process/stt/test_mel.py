import numpy as np
import pytest

from app.engine_process.stt.mel import REACH, WINDOW_FRAMES, LogMel, mel_filters


@pytest.fixture(scope="module")
def samples():
    draw = np.random.default_rng(1)
    return (draw.normal(0, 3000, 16000 * 12) * np.linspace(0, 1, 16000 * 12)).astype(np.int16)


@pytest.mark.parametrize("bands", [80, 128])
def test_features_are_those_of_the_stock_extractor(samples, bands):
    from faster_whisper.feature_extractor import FeatureExtractor

    frames = len(samples) // 160
    around = np.concatenate([samples[REACH:0:-1], samples, np.zeros(REACH, np.int16)])
    features = LogMel(bands)(around, frames)[0]
    stock = FeatureExtractor(bands)(samples.astype(np.float32) / 32768)
    assert np.allclose(features[:, :frames], stock[:, :frames], atol=1e-5)
    assert not features[:, frames:].any()


def test_a_window_does_not_remember_the_one_before(samples):
    mel = LogMel(80)
    fresh = LogMel(80)(samples[: 100 * 160 + 400], 100).copy()
    mel(np.resize(samples, WINDOW_FRAMES * 160 + 400), WINDOW_FRAMES)
    assert np.array_equal(mel(samples[: 100 * 160 + 400], 100), fresh)


def test_filters_overlap_without_gaps():
    assert (mel_filters(80)[:, 1:200].sum(axis=0) > 0).all()
