"""
Native code in this process: CTranslate2's compiled part, and pages of code given back between two uses of it.

Decoding, spectrum and model run one after the other, yet the code and tables each has touched stay resident while the
next one peaks: 25 MB here. They are unchanged copies of files, so the kernel may be told at any time that they are not
needed now; whoever runs next maps them again from the page cache, 16 at a time.
"""

import ctypes
import functools
import importlib.util
import re
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from ..engine import protocol

# CTranslate2's `Whisper`, and the `StorageView` its encoder gives: the extension module has no types.
Model = Any
Encoded = Any

LIBRARY = "libctranslate2"
MADV_DONTNEED = 4
LEAST_BYTES = 1 << 18
_madvise = ctypes.CDLL(None).madvise  # looked up once: it is called for each window
ENTRY = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d* ")


@functools.cache
def extension() -> ModuleType:
    """
    The module `ctranslate2._ext`, with `Whisper` and `StorageView`.

    The package around it is not run: it imports 16 MB that only converting needs.
    """
    package = importlib.util.find_spec("ctranslate2")
    spec = package and PathFinder.find_spec("ctranslate2._ext", package.submodule_search_locations)
    if spec is None or spec.loader is None:
        raise protocol.Refused(
            "misconfigured", "the package ctranslate2 is not installed; pip install ctranslate2"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def loaded_library() -> ctypes.CDLL:
    """The library that CTranslate2's extension has loaded."""
    extension()
    with open("/proc/self/maps") as maps:
        path = next((line.split(maxsplit=5)[5].strip() for line in maps if LIBRARY in line), None)
    if path is None:
        raise OSError(f"{LIBRARY} is not among the loaded libraries")
    return ctypes.CDLL(path)


def release(mappings: list[tuple[int, int]]) -> None:
    """Give the pages of *mappings* back; nothing but time is lost, and less than a millisecond of it."""
    for address, size in mappings:
        _madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), MADV_DONTNEED)


def unchanged_mappings() -> list[tuple[int, int]]:
    """
    Address and size of each mapping that can't be written and has no page that differs from its file.

    What the loader relocated does differ, and would be lost.
    """
    found = []
    candidate = None
    try:
        with open("/proc/self/smaps") as lines:
            for line in lines:
                if entry := ENTRY.match(line):
                    begin, end = (int(text, 16) for text in entry.groups())
                    candidate = (begin, end - begin) if end - begin >= LEAST_BYTES else None
                elif line.startswith("Anonymous:"):
                    if candidate and line.split()[1] == "0":
                        found.append(candidate)
                    candidate = None
    except OSError:  # not Linux, or /proc is masked: nothing is given back, nothing else changes
        return []
    return found
