import json
import math
from pathlib import Path

import pytest

from app.config import PROJECT, Settings
from app.speech import models, speed

MODEL = PROJECT / "models" / models.SMALLEST


@pytest.fixture
def model(tmp_path):
    """A model in a directory of its own, and nothing measured before."""
    (tmp_path / MODEL.name).symlink_to(MODEL)
    speed.window_time.cache_clear()
    yield tmp_path / MODEL.name
    speed.window_time.cache_clear()


def test_a_window_is_measured_once_and_kept(model):
    measured = speed.window_time(model, 1)
    assert measured.model == models.SMALLEST
    assert measured.encode_seconds > 0
    assert measured.generate_seconds > 0
    assert json.loads((model.parent / speed.KEPT).read_bytes()) == measured._asdict()
    speed.window_time.cache_clear()
    assert speed.window_time(model, 1) == measured


@pytest.mark.parametrize(
    "kept",
    [b"", *(pytest.param(kept, marks=pytest.mark.long) for kept in (b"{}", b"[1, 2]", b'{"model": 1}'))],
)
def test_what_is_kept_and_no_measurement_is_measured_again(model, kept):
    (model.parent / speed.KEPT).write_bytes(kept)
    assert speed.window_time(model, 1).encode_seconds > 0


@pytest.mark.parametrize(
    "seconds", [None, *(pytest.param(each, marks=pytest.mark.long) for each in ("fast", math.nan, -1, 0))]
)
def test_times_that_can_be_none_are_measured_again(model, seconds):
    written = speed.WindowTime(models.SMALLEST, speed.window_time(model, 1).processors, seconds, seconds)
    (model.parent / speed.KEPT).write_text(json.dumps(written._asdict()))
    speed.window_time.cache_clear()
    assert speed.window_time(model, 1).encode_seconds > 0
    assert models.largest(NAMES, Settings(model_dir=str(model.parent), stt_threads=1)) in NAMES


def kept(model: Path, *, processors: str = "", seconds: float) -> Settings:
    """Settings of a machine on which half a minute takes *seconds* with the smallest model."""
    measured = speed.window_time(model, 1)
    measured = measured._replace(
        encode_seconds=seconds / 2, generate_seconds=seconds / 2, processors=processors or measured.processors
    )
    (model.parent / speed.KEPT).write_text(json.dumps(measured._asdict()))
    speed.window_time.cache_clear()
    return Settings(model_dir=str(model.parent), stt_threads=1)


NAMES = ["large-v3", "medium", "small", "base", models.SMALLEST]


def test_the_largest_that_keeps_up_is_taken(model):
    found = [models.largest(NAMES, kept(model, seconds=seconds)) for seconds in (0.0001, 0.5, 1, 3, 60)]
    assert found[0] == "large-v3"
    assert found[-1] == models.SMALLEST
    assert [NAMES.index(name) for name in found] == sorted(NAMES.index(name) for name in found)
    assert len(set(found)) > 2


@pytest.mark.long
def test_on_other_processors_it_is_measured_again(model):
    settings = kept(model, processors="64 x Another", seconds=1000)
    assert speed.window_time(model, 1).encode_seconds < 500
    assert models.largest(NAMES[-1:], settings) == models.SMALLEST


def test_where_it_cannot_be_measured_the_smallest_is_taken(tmp_path):
    (tmp_path / models.SMALLEST / "decoder").mkdir(parents=True)
    for file in (models.DECODER, models.ENCODER, models.CONFIG):
        (tmp_path / models.SMALLEST / file).write_bytes(b"{}")
    assert models.largest(NAMES, Settings(model_dir=str(tmp_path), stt_threads=1)) == models.SMALLEST
    assert not (tmp_path / speed.KEPT).exists()
