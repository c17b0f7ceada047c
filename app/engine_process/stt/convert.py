"""
A model of CTranslate2 made into the two files that the engine reads, in blocks, so in about 40 MB of memory.

`decoder/model.bin` is what CTranslate2 loads: the decoder, and an encoder of one layer of width 8, because it insists
on one. All weights are int8, so that loading converts nothing: the stock files hold 16-bit floats, which CTranslate2
widens to 32 bits and then quantizes, and for tiny.en that peaks 64 MB above what stays. The same numbers are made
here.
`model.bin` is little endian, strings carry their length and a final zero (CTranslate2 4.8,
`ctranslate2/specs/model_spec.py`, `ModelSpec._serialize`):

    version u32, name, revision u32, count u32
    count x (name, rank u8, rank x u32, type u8, size u32, the bytes)
    count u32, count x (alias, name)

An alias also covers the `_scale` beside its variable, so aliases are copied as they are.

`encoder.bin` is what `encoder.py` maps:

    where the index begins, u64
    from the second page on the tensors; each layer begins at a page, each tensor at 64 bytes
    the index as JSON, to the end: heads, and tensors: name -> (offset, type, shape)

with convolutions as (out, 3, in) and, for each int8 weight, `scale` (out), `bias` (out) and `shift` (out, int32): -128
times the sum of its weights, what an input with 128 added to it makes more.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

WEIGHTS, DECODER, ENCODER = "model.bin", "decoder/model.bin", "encoder.bin"
# The type numbers of CTranslate2's `DataType`.
KINDS: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
}
INT8, FLOATS = 1, (0, 4)
BLOCK_SIZE_BYTES = 1 << 20
BINARY_VERSION = 6  # since CTranslate2 2.0
PAGE, ALIGNED = 4096, 64
STUB_WIDTH = 8
LINEAR = {  # CTranslate2's name, and ours
    "self_attention/linear_0": "qkv",
    "self_attention/linear_1": "out",
    "ffn/linear_0": "up",
    "ffn/linear_1": "down",
}
NORMS = {"self_attention/layer_norm": "before", "ffn/layer_norm": "between"}
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Variable:
    """One entry of the file, and where its bytes begin."""

    name: str
    shape: tuple[int, ...]
    kind: int
    size_bytes: int
    at: int = 0

    @property
    def quantizable(self) -> bool:
        """
        Whether CTranslate2 would quantize it while loading: linear layers and embeddings.

        Not the convolutions: as int8 they change the text.
        """
        return (
            self.kind in FLOATS
            and len(self.shape) == 2
            and self.name.endswith("weight")
            and "conv" not in self.name
        )


class NotAModel(ValueError):
    """The file is not a Whisper model of CTranslate2, or of an unknown version."""


def convert(source: Path, place: Path) -> None:
    """Write `decoder/model.bin` and `encoder.bin` into *place* from the `model.bin` at *source*; NotAModel."""
    (place / DECODER).parent.mkdir(exist_ok=True)
    with source.open("rb") as reader:
        specification, revision, entries = read_entries(reader)
        aliases = reader.tell()
        try:
            with (place / ENCODER).open("wb") as writer:
                write_encoder(entries, reader, writer)
            stub = least_encoder(entries)
        except KeyError as error:
            raise NotAModel(f"it has no {error}") from None
        kept = [each for each in entries.values() if not each.name.startswith("encoder/") or not each.shape]
        kept = [each for each in kept if each.name not in stub]
        with (place / DECODER).open("wb") as writer:
            writer.write(struct.pack("<I", BINARY_VERSION))
            write_string(writer, specification)
            added = sum(each.quantizable for each in kept)
            writer.write(struct.pack("<II", revision, len(kept) + added + len(stub)))
            for variable in kept:
                reader.seek(variable.at)
                if variable.quantizable:
                    write_quantized(variable, reader, writer)
                else:
                    write_entry(writer, variable)
                    copy(reader, writer, variable.size_bytes)
            for name, values in stub.items():
                write_array(writer, name, values)
            reader.seek(aliases)
            while rest := reader.read(BLOCK_SIZE_BYTES):
                writer.write(rest)


def least_encoder(entries: dict[str, Variable]) -> dict[str, Array]:
    """
    The encoder CTranslate2 insists on, of one layer, which never runs.

    What it reads from it are the bands of its first convolution and the width of its last norm, by which it knows
    what is encoded already (`WhisperReplica::is_encoded`).
    """
    bands, width = entries["encoder/conv1/weight"].shape[1], entries["encoder/layer_norm/gamma"].shape[0]
    heads = entries["encoder/num_heads"]
    shapes: dict[str, tuple[int, ...]] = {
        "conv1/weight": (1, bands, 1),
        "conv1/bias": (1,),
        "conv2/weight": (1, 1, 1),
        "conv2/bias": (1,),
        "position_encodings/encodings": (1, 1),
        "layer_norm/gamma": (width,),
        "layer_norm/beta": (width,),
    }
    made: dict[str, Array] = {heads.name: np.ones(heads.shape, KINDS[heads.kind])}
    for name in NORMS:
        shapes |= {f"layer_0/{name}/{each}": (STUB_WIDTH,) for each in ("gamma", "beta")}
    for name, rows, columns in zip(LINEAR, (3, 1, 4, 1), (1, 1, 1, 4), strict=True):
        scope = f"layer_0/{name}"
        shapes |= {f"{scope}/{each}": (rows * STUB_WIDTH,) for each in ("weight_scale", "bias")}
        made[f"encoder/{scope}/weight"] = np.zeros((rows * STUB_WIDTH, columns * STUB_WIDTH), np.int8)
    return made | {f"encoder/{name}": np.ones(shape, np.float32) for name, shape in shapes.items()}


def write_encoder(entries: dict[str, Variable], reader: BinaryIO, writer: BinaryIO) -> None:
    """Write `encoder.bin`; KeyError where the model lacks a variable."""
    index: dict[str, tuple[int, str, tuple[int, ...]]] = {}
    end, scope = PAGE, ""
    for name, values in encoder_tensors(entries, reader):
        step = ALIGNED if name.partition("/")[0] == scope else PAGE
        scope = name.partition("/")[0]
        begin = -(-end // step) * step
        index[name] = begin, values.dtype.str, values.shape
        writer.seek(begin)
        writer.write(np.ascontiguousarray(values).tobytes())
        end = begin + values.nbytes
    if "0/qkv/weight" not in index:
        raise NotAModel("its encoder has no layers")
    heads = int(read(entries["encoder/num_heads"], reader))
    writer.write(json.dumps({"heads": heads, "tensors": index}).encode())
    writer.seek(0)
    writer.write(end.to_bytes(8, "little"))


def read_index(file: BinaryIO) -> tuple[int, dict[str, tuple[int, str, tuple[int, ...]]]]:
    """The heads and, by name, begin, type and shape of each tensor of an `encoder.bin`; NotAModel: it is not whole."""
    (end,) = unpack(file, "<Q")
    file.seek(end)
    try:
        index = json.loads(file.read())
        tensors = {
            name: (begin, dtype, tuple(shape)) for name, (begin, dtype, shape) in index["tensors"].items()
        }
        inside = all(
            begin + prod(shape) * np.dtype(dtype).itemsize <= end for begin, dtype, shape in tensors.values()
        )
        heads = int(index["heads"])
    except (ValueError, KeyError, TypeError):
        raise NotAModel(f"{ENCODER} has no index") from None
    if not inside:
        raise NotAModel(f"{ENCODER} has tensors that are not in it")
    return heads, tensors


def encoder_tensors(entries: dict[str, Variable], reader: BinaryIO) -> Iterator[tuple[str, Array]]:
    """Name and values of each tensor of `encoder.bin`, layer by layer."""

    def floats(name: str) -> Array:
        return read(entries[f"encoder/{name}"], reader).astype(np.float32)

    for name in ("conv1", "conv2"):
        yield f"{name}/weight", floats(f"{name}/weight").transpose(0, 2, 1)
        yield f"{name}/bias", floats(f"{name}/bias")
    yield "positions", floats("position_encodings/encodings")
    for name in ("gamma", "beta"):
        yield f"norm/{name}", floats(f"layer_norm/{name}")
    number = 0
    while f"encoder/layer_{number}/ffn/linear_0/weight" in entries:
        for theirs, ours in LINEAR.items():
            weight = entries[f"encoder/layer_{number}/{theirs}/weight"]
            if weight.kind == INT8:
                integers, scale = read(weight, reader), floats(f"layer_{number}/{theirs}/weight_scale")
            elif weight.kind in FLOATS:
                integers, scale = quantized(read(weight, reader))
            else:
                raise NotAModel(f"{weight.name} has the unexpected type {weight.kind}")
            yield f"{number}/{ours}/weight", integers
            yield f"{number}/{ours}/scale", scale
            yield f"{number}/{ours}/bias", floats(f"layer_{number}/{theirs}/bias")
            yield f"{number}/{ours}/shift", -128 * integers.sum(axis=1, dtype=np.int32)
        for theirs, ours in NORMS.items():
            for name in ("gamma", "beta"):
                yield f"{number}/{ours}/{name}", floats(f"layer_{number}/{theirs}/{name}")
        number += 1


def read(variable: Variable, reader: BinaryIO) -> Array:
    """The values of *variable*."""
    reader.seek(variable.at)
    if variable.kind not in KINDS:
        raise NotAModel(f"{variable.name} has the unknown type {variable.kind}")
    return np.frombuffer(read_whole(reader, variable.size_bytes), KINDS[variable.kind]).reshape(
        variable.shape
    )


def quantized(values: Array) -> tuple[Array, Array]:
    """
    Rows of floats as int8 and the scale of each row: 127 over its largest magnitude.

    A product is rounded to the nearest integer, halves to the even one, as CTranslate2 does.
    """
    values = values.astype(np.float32)
    largest = np.abs(values).max(axis=1)
    scale = np.where(largest == 0, np.float32(1), np.float32(127) / np.where(largest == 0, 1, largest))
    scale = scale.astype(np.float32)
    return np.rint(values * scale[:, None]).astype(np.int8), scale


def write_quantized(variable: Variable, reader: BinaryIO, writer: BinaryIO) -> None:
    """Write *variable* as int8, then its scales, a block of rows at a time; the reader stands at its first byte."""
    rows, columns = variable.shape
    write_entry(writer, Variable(variable.name, variable.shape, INT8, rows * columns))
    dtype = KINDS[variable.kind]
    step = max(1, BLOCK_SIZE_BYTES // (columns * dtype.itemsize))
    scales = []
    for row in range(0, rows, step):
        height = min(step, rows - row)
        block = np.frombuffer(read_whole(reader, height * columns * dtype.itemsize), dtype)
        integers, scale = quantized(block.reshape(height, columns))
        scales.append(scale)
        writer.write(integers.tobytes())
    write_array(writer, f"{variable.name}_scale", np.concatenate(scales))


def read_entries(reader: BinaryIO) -> tuple[str, int, dict[str, Variable]]:
    """Name of the specification, its revision, and the entries by name; the reader then stands at the aliases."""
    (version,) = unpack(reader, "<I")
    if version != BINARY_VERSION:
        raise NotAModel(f"binary version {version}; known is {BINARY_VERSION}")
    specification = read_string(reader)
    revision, count = unpack(reader, "<II")
    entries = {}
    for _ in range(count):
        name = read_string(reader)
        (rank,) = unpack(reader, "<B")
        shape = unpack(reader, f"<{rank}I")
        kind, size_bytes = unpack(reader, "<BI")
        if kind in KINDS and prod(shape) * KINDS[kind].itemsize != size_bytes:
            raise NotAModel(f"{name}: {size_bytes} bytes do not make the shape {shape}")
        entries[name] = Variable(name, shape, kind, size_bytes, reader.tell())
        reader.seek(size_bytes - 1, 1)
        read_whole(reader, 1)
    return specification, revision, entries


def write_entry(writer: BinaryIO, variable: Variable) -> None:
    """Write all of an entry but its bytes."""
    write_string(writer, variable.name)
    writer.write(struct.pack(f"<B{len(variable.shape)}I", len(variable.shape), *variable.shape))
    writer.write(struct.pack("<BI", variable.kind, variable.size_bytes))


def write_array(writer: BinaryIO, name: str, values: Array) -> None:
    """Write a whole entry."""
    kind = next(kind for kind, dtype in KINDS.items() if dtype == values.dtype)
    write_entry(writer, Variable(name, values.shape, kind, values.nbytes))
    writer.write(values.tobytes())


def copy(reader: BinaryIO, writer: BinaryIO, size_bytes: int) -> None:
    """Copy *size_bytes* unchanged."""
    while size_bytes:
        block = read_whole(reader, min(size_bytes, BLOCK_SIZE_BYTES))
        writer.write(block)
        size_bytes -= len(block)


def read_whole(reader: BinaryIO, size_bytes: int) -> bytes:
    """The next *size_bytes*; NotAModel where the file ends before."""
    block = reader.read(size_bytes)
    if len(block) < size_bytes:
        raise NotAModel("the file ends in the middle of a variable")
    return block


def read_string(reader: BinaryIO) -> str:
    """The next string, without its final zero."""
    (length,) = unpack(reader, "<H")
    return read_whole(reader, length)[:-1].decode()


def write_string(writer: BinaryIO, text: str) -> None:
    """Write *text* with its length and a final zero."""
    encoded = text.encode() + b"\0"
    writer.write(struct.pack("<H", len(encoded)) + encoded)


def unpack(reader: BinaryIO, layout: str) -> tuple[int, ...]:
    """The next integers in *layout*; NotAModel where the file ends before them."""
    return struct.unpack(layout, read_whole(reader, struct.calcsize(layout)))
