"""
CTranslate2 weights saved as int8, so that loading them converts nothing.

The stock files hold 16-bit floats; with `compute_type="int8"` CTranslate2 widens them to 32 bits and
then quantizes, which for tiny.en peaks 64 MB above what stays. Here the same numbers are made once.
`model.bin` is little endian, strings carry their length and a final zero (CTranslate2 4.8,
`ctranslate2/specs/model_spec.py`, `ModelSpec._serialize`):

    version u32, name, revision u32, count u32
    count x (name, rank u8, rank x u32, type u8, size u32, the bytes)
    count u32, count x (alias, name)

An alias also covers the `_scale` beside its variable, so aliases are copied as they are.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

INT8 = 1
FLOATS: dict[int, np.dtype[np.float32] | np.dtype[np.float16]] = {
    0: np.dtype("<f4"),
    4: np.dtype("<f2"),
}  # the type numbers of CTranslate2's `DataType`
BLOCK_SIZE_BYTES = 1 << 20
BINARY_VERSION = 6  # since CTranslate2 2.0


@dataclass(frozen=True, slots=True)
class Variable:
    """One entry of the file; the reader stands at its first byte."""

    name: str
    shape: tuple[int, ...]
    kind: int
    size_bytes: int

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
    """The file is not a CTranslate2 model of the known version."""


def to_int8(source: Path, target: Path) -> None:
    """Write the model at *source* to *target* with int8 weights, a block of rows at a time."""
    with source.open("rb") as reader, target.open("wb") as writer:
        version, name, revision, count = read_head(reader)
        first = reader.tell()
        added = 0
        for variable in variables(reader, count):
            added += variable.quantizable
            reader.seek(variable.size_bytes, 1)
        reader.seek(first)
        writer.write(struct.pack("<I", version))
        write_string(writer, name)
        writer.write(struct.pack("<II", revision, count + added))
        for variable in variables(reader, count):
            if variable.quantizable:
                quantize(variable, reader, writer)
            else:
                write_entry(writer, variable)
                copy(reader, writer, variable.size_bytes)
        while rest := reader.read(BLOCK_SIZE_BYTES):  # the aliases
            writer.write(rest)


def quantize(variable: Variable, reader: BinaryIO, writer: BinaryIO) -> None:
    """
    Write *variable* as int8, then its scales: 127 over the largest magnitude of each row.

    A product is rounded to the nearest integer, halves to the even one, as CTranslate2 does.
    """
    rows, columns = variable.shape
    write_entry(writer, Variable(variable.name, variable.shape, INT8, rows * columns))
    dtype = FLOATS[variable.kind]
    step = max(1, BLOCK_SIZE_BYTES // (columns * dtype.itemsize))
    scales = np.empty(rows, np.float32)
    for row in range(0, rows, step):
        height = min(step, rows - row)
        block = np.frombuffer(read_whole(reader, height * columns * dtype.itemsize), dtype)
        values = block.astype(np.float32).reshape(height, columns)
        largest = np.abs(values).max(axis=1)
        scale = np.where(largest == 0, np.float32(1), np.float32(127) / np.where(largest == 0, 1, largest))
        scales[row : row + height] = scale
        writer.write(np.rint(values * scale.astype(np.float32)[:, None]).astype(np.int8).tobytes())
    write_entry(writer, Variable(f"{variable.name}_scale", (rows,), 0, scales.nbytes))
    writer.write(scales.tobytes())


def variables(reader: BinaryIO, count: int) -> Iterator[Variable]:
    """The entries one by one; the caller reads or skips the bytes of each before it asks for the next."""
    for _ in range(count):
        name = read_string(reader)
        (rank,) = unpack(reader, "<B")
        shape = unpack(reader, f"<{rank}I")
        kind, size_bytes = unpack(reader, "<BI")
        if kind in FLOATS and prod(shape) * FLOATS[kind].itemsize != size_bytes:
            raise NotAModel(f"{name}: {size_bytes} bytes do not make the shape {shape}")
        yield Variable(name, shape, kind, size_bytes)


def read_head(reader: BinaryIO) -> tuple[int, str, int, int]:
    """Binary version, name of the specification, its revision, and the number of variables."""
    (version,) = unpack(reader, "<I")
    if version != BINARY_VERSION:
        raise NotAModel(f"binary version {version}; known is {BINARY_VERSION}")
    name = read_string(reader)
    revision, count = unpack(reader, "<II")
    return version, name, revision, count


def write_entry(writer: BinaryIO, variable: Variable) -> None:
    """Write all of an entry but its bytes."""
    write_string(writer, variable.name)
    writer.write(struct.pack(f"<B{len(variable.shape)}I", len(variable.shape), *variable.shape))
    writer.write(struct.pack("<BI", variable.kind, variable.size_bytes))


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
