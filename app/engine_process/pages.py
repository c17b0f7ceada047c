"""
Pages of program code given back between two uses of it.

Decoding, spectrum and model run one after the other, yet the code and tables each has touched stay resident while the
next one peaks: 25 MB here. They are unchanged copies of files, so the kernel may be told at any time that they are not
needed now; whoever runs next maps them again from the page cache, 16 at a time.
"""

import ctypes
import re

MADV_DONTNEED = 4
LEAST_BYTES = 1 << 18
ENTRY = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d* ")


class CodePages:
    """The read-only mappings of libraries loaded when it is made."""

    def __init__(self) -> None:
        self.mappings = unchanged_mappings()
        self.madvise = ctypes.CDLL(None).madvise
        self.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

    def release(self) -> None:
        """Give their pages back; nothing but time is lost, and less than a millisecond of it."""
        for address, size in self.mappings:
            self.madvise(address, size, MADV_DONTNEED)


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
