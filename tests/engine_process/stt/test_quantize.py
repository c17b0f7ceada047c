import io
import struct

import numpy as np
import pytest

from app.engine_process.stt import quantize


def model_file(variables, aliases=()) -> bytes:
    """A file in CTranslate2's format with half-precision *variables*."""
    out = io.BytesIO()
    out.write(struct.pack("<I", 6))
    quantize.write_string(out, "WhisperSpec")
    out.write(struct.pack("<II", 3, len(variables)))
    for name, values in variables.items():
        quantize.write_entry(out, quantize.Variable(name, values.shape, 4, values.nbytes))
        out.write(values.tobytes())
    out.write(struct.pack("<I", len(aliases)))
    for alias, name in aliases:
        quantize.write_string(out, alias)
        quantize.write_string(out, name)
    return out.getvalue()


def read(content: bytes) -> dict[str, np.ndarray]:
    kinds = {0: np.float32, 1: np.int8, 4: np.float16}
    reader = io.BytesIO(content)
    *_, count = quantize.read_head(reader)
    return {
        entry.name: np.frombuffer(reader.read(entry.size_bytes), kinds[entry.kind]).reshape(entry.shape)
        for entry in quantize.variables(reader, count)
    }


@pytest.fixture
def convert(tmp_path):
    def convert(content: bytes) -> bytes:
        (tmp_path / "source").write_bytes(content)
        quantize.to_int8(tmp_path / "source", tmp_path / "target")
        return (tmp_path / "target").read_bytes()

    return convert


def test_rows_fill_the_range_and_multiply_back(convert):
    weights = (
        np.random.default_rng(1).normal(0, 0.1, (3000, 384)).astype(np.float16)
    )  # several blocks of rows
    saved = read(convert(model_file({"decoder/layer_0/ffn/linear_0/weight": weights})))
    integers, scales = saved.values()
    assert list(saved)[1] == "decoder/layer_0/ffn/linear_0/weight_scale"
    assert (np.abs(integers).max(axis=1) == 127).all()
    assert np.abs(integers / scales[:, None] - weights).max() <= (0.5 / scales).max() * 1.001


def test_halves_are_rounded_to_even(convert):
    weights = np.array([[127, 0.5, 1.5, -0.5, -1.5]], np.float16)
    integers = read(convert(model_file({"weight": weights})))["weight"]
    assert integers.tolist() == [[127, 0, 2, 0, -2]]


def test_a_row_of_zeros_stays_one(convert):
    saved = read(convert(model_file({"weight": np.zeros((2, 4), np.float16)})))
    assert not saved["weight"].any()
    assert np.isfinite(saved["weight_scale"]).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("encoder/conv1/weight", (4, 2, 3)),
        ("encoder/layer_norm/gamma", (8,)),
        ("encoder/layer_0/ffn/linear_0/bias", (8,)),
        ("encoder/position_encodings/encodings", (4, 8)),
    ],
)
def test_what_is_no_linear_layer_is_copied(convert, name, shape):
    values = np.random.default_rng(1).normal(size=shape).astype(np.float16)
    saved = read(convert(model_file({name: values})))
    assert list(saved) == [name]
    assert np.array_equal(saved[name], values)


def test_aliases_survive(convert):
    aliases = [("decoder/projection/weight", "decoder/embeddings/weight")]
    content = convert(model_file({"decoder/embeddings/weight": np.ones((2, 2), np.float16)}, aliases))
    assert content.endswith(model_file({}, aliases)[-len(aliases[0][0]) - len(aliases[0][1]) - 10 :])


@pytest.mark.parametrize(
    "content", [b"", b"PK\3\4 this is a zip", model_file({"weight": np.ones((4, 4), np.float16)})[:60]]
)
def test_what_is_no_model_is_refused(convert, content):
    with pytest.raises(quantize.NotAModel):
        convert(content)
