import io
import json

import numpy as np
import pytest

from app.engine_process.stt import convert
from tests.small_model import BANDS, WIDTH, encoder, model_file

ALIASES = [("decoder/projection/weight", "decoder/embeddings/weight")]


@pytest.fixture
def converted(tmp_path):
    """Converts a file's content; the variables of the decoder's file, the encoder's tensors, and the two files."""

    def converted(content: bytes):
        (tmp_path / "model.bin").write_bytes(content)
        convert.convert(tmp_path / "model.bin", tmp_path)
        files = [(tmp_path / name).read_bytes() for name in (convert.DECODER, convert.ENCODER)]
        reader = io.BytesIO(files[0])
        *_, entries = convert.read_entries(reader)
        variables = {name: convert.read(entry, reader) for name, entry in entries.items()}
        heads, index = convert.read_index(io.BytesIO(files[1]))
        assert heads == 2
        tensors = {
            name: np.frombuffer(files[1], dtype, int(np.prod(shape)), begin).reshape(shape)
            for name, (begin, dtype, shape) in index.items()
        }
        return variables, tensors, files

    return converted


def decoder(converted, variables, aliases=()):
    """What becomes of the decoder's *variables*."""
    found, _, _ = converted(model_file({**encoder(), **variables}, aliases))
    return {name: values for name, values in found.items() if not name.startswith("encoder/")}


def test_rows_fill_the_range_and_multiply_back(converted):
    # several blocks of rows
    weights = np.random.default_rng(1).normal(0, 0.1, (3000, 384)).astype(np.float16)
    integers, scales = decoder(converted, {"decoder/layer_0/ffn/linear_0/weight": weights}).values()
    assert (np.abs(integers).max(axis=1) == 127).all()
    assert np.abs(integers / scales[:, None] - weights).max() <= (0.5 / scales).max() * 1.001


def test_halves_are_rounded_to_even(converted):
    weights = np.array([[127, 0.5, 1.5, -0.5, -1.5]], np.float16)
    assert decoder(converted, {"weight": weights})["weight"].tolist() == [[127, 0, 2, 0, -2]]


def test_a_row_of_zeros_stays_one(converted):
    saved = decoder(converted, {"weight": np.zeros((2, 4), np.float16)})
    assert not saved["weight"].any()
    assert np.isfinite(saved["weight_scale"]).all()


def test_what_is_no_linear_layer_of_the_decoder_is_copied(converted):
    values = np.random.default_rng(1).normal(size=8).astype(np.float16)
    assert np.array_equal(
        decoder(converted, {"decoder/layer_norm/gamma": values})["decoder/layer_norm/gamma"], values
    )


def test_aliases_survive(converted):
    content = model_file({**encoder(), "decoder/embeddings/weight": np.ones((2, 2), np.float16)}, ALIASES)
    _, _, (made, _) = converted(content)
    assert made.endswith(model_file({}, ALIASES)[-len("".join(ALIASES[0])) - 10 :])


def test_the_encoder_that_stays_is_small_and_says_the_bands_and_the_width(converted):
    variables, _, _ = converted(model_file(encoder()))
    assert variables["encoder/conv1/weight"].shape[1] == BANDS
    assert variables["encoder/layer_norm/gamma"].shape == (WIDTH,)
    assert {name.split("/")[1] for name in variables if "layer_" in name} <= {"layer_0", "layer_norm"}
    assert sum(values.nbytes for values in variables.values()) < 4000


def test_the_encoder_s_weights_are_the_model_s(converted):
    source = encoder()
    _, tensors, _ = converted(model_file(source))
    for number in range(2):
        theirs, ours = f"encoder/layer_{number}/ffn/linear_1", f"{number}/down"
        integers, scale = tensors[f"{ours}/weight"], tensors[f"{ours}/scale"]
        assert (
            np.abs(integers / scale[:, None] - source[f"{theirs}/weight"]).max()
            <= (0.5 / scale).max() * 1.001
        )
        assert tensors[f"{ours}/shift"].tolist() == (-128 * integers.sum(axis=1, dtype=np.int32)).tolist()
        assert tensors[f"{ours}/bias"].tolist() == source[f"{theirs}/bias"].tolist()
    assert np.array_equal(tensors["conv2/weight"], source["encoder/conv2/weight"].transpose(0, 2, 1))


def test_weights_that_are_int8_already_stay_as_they_are(converted):
    source = encoder()
    name = "encoder/layer_1/self_attention/linear_0/weight"
    source[name] = np.random.default_rng(2).integers(-127, 128, (3 * WIDTH, WIDTH), np.int8)
    source[f"{name}_scale"] = np.full(3 * WIDTH, 200, np.float32)
    _, tensors, _ = converted(model_file(source))
    assert np.array_equal(tensors["1/qkv/weight"], source[name])
    assert set(tensors["1/qkv/scale"].tolist()) == {200}


def test_each_layer_begins_at_a_page_and_each_tensor_where_vectors_do(converted):
    _, _, (_, made) = converted(model_file(encoder()))
    _, index = convert.read_index(io.BytesIO(made))
    for number in range(2):
        assert (
            min(begin for name, (begin, _, _) in index.items() if name.startswith(f"{number}/")) % 4096 == 0
        )
    assert all(begin % 64 == 0 for begin, _, _ in index.values())


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\3\4 this is a zip", model_file(encoder())[:2000], model_file({}), model_file(encoder(0))],
)
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(convert.NotAModel):
        convert.convert(tmp_path / "model.bin", tmp_path)


def index_file(index: dict) -> bytes:
    return (64).to_bytes(8, "little") + bytes(56) + json.dumps(index).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\1" + bytes(7),
        (1 << 60).to_bytes(8, "little"),
        index_file({}),
        index_file({"heads": 2, "tensors": {"positions": [0, "<f4", [17]]}}),
        index_file({"heads": 2, "tensors": {"positions": [0, "unheard of", [1]]}}),
    ],
)
def test_an_encoder_s_file_that_is_not_whole_is_refused(content):
    with pytest.raises(convert.NotAModel):
        convert.read_index(io.BytesIO(content))
