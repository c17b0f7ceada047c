"""A finished transcript on disk: a segment a line, as JSON, so that its length costs no memory while it is made."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import BinaryIO

from ..speech.transcription import Segment, Word


def write(file: BinaryIO, segment: Segment) -> None:
    """Append *segment*."""
    file.write(json.dumps(asdict(segment), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def read(lines: Iterable[bytes]) -> Iterator[Segment]:
    """The segments of a file that `write` made, as they are asked for."""
    for line in lines:
        found = json.loads(line)
        yield Segment(**{**found, "words": [Word(**word) for word in found["words"]]})
