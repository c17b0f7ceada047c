"""A model of CTranslate2 in a few kilobytes, whole but for its decoder; of random numbers."""

import io
import struct

import numpy as np

from app.engine_process.stt import convert

BANDS, WIDTH = 80, 8


def model_file(variables, aliases=()) -> bytes:
    """A file in CTranslate2's format."""
    out = io.BytesIO()
    out.write(struct.pack("<I", 6))
    convert.write_string(out, "WhisperSpec")
    out.write(struct.pack("<II", 3, len(variables)))
    for name, values in variables.items():
        convert.write_array(out, name, values)
    out.write(struct.pack("<I", len(aliases)))
    for alias, name in aliases:
        convert.write_string(out, alias)
        convert.write_string(out, name)
    return out.getvalue()


def encoder(layers=2) -> dict[str, np.ndarray]:
    """The variables of a small encoder, of random halves."""
    random = np.random.default_rng(0)
    shapes = {
        "conv1/weight": (WIDTH, BANDS, 3),
        "conv1/bias": (WIDTH,),
        "conv2/weight": (WIDTH, WIDTH, 3),
        "conv2/bias": (WIDTH,),
        "position_encodings/encodings": (1500, WIDTH),
        "layer_norm/gamma": (WIDTH,),
        "layer_norm/beta": (WIDTH,),
    }
    for number in range(layers):
        scope = f"layer_{number}"
        for name, (rows, columns) in {
            "self_attention/linear_0": (3, 1),
            "self_attention/linear_1": (1, 1),
            "ffn/linear_0": (4, 1),
            "ffn/linear_1": (1, 4),
        }.items():
            shapes[f"{scope}/{name}/weight"] = (rows * WIDTH, columns * WIDTH)
            shapes[f"{scope}/{name}/bias"] = (rows * WIDTH,)
        for name in ("self_attention/layer_norm", "ffn/layer_norm"):
            shapes |= {f"{scope}/{name}/gamma": (WIDTH,), f"{scope}/{name}/beta": (WIDTH,)}
    made = {f"encoder/{name}": random.normal(size=shape).astype(np.float16) for name, shape in shapes.items()}
    return {"encoder/num_heads": np.array(2, np.int16), **made}
