"""
`python -m tests.fuzz GROUP SECONDS DIRECTORY` fuzzes a group of targets; a crash ends it, its input in DIRECTORY.

With atheris, guided by what of our code an input reaches. Python 3.10 has no atheris: there the seeds are
changed at random.
"""

import random
import sys
import time
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

SLOW_SECONDS = 5  # an input that takes longer is a failure: a pattern that goes back and forth, for one
LONGEST_BYTES = 2048


def guided(group: str, seconds: int, directory: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    with atheris.instrument_imports(include=["app", "werkzeug.sansio", "markdown_it"]):
        from . import targets
    corpus = directory / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(targets.seeds(group)):
        (corpus / f"seed{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-timeout={SLOW_SECONDS}", f"-max_len={LONGEST_BYTES}"]
    options += [
        f"-artifact_prefix={directory}/",
        "-print_final_stats=1",
        "-verbosity=1",
        "-rss_limit_mb=1024",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: targets.run(group, data))
    atheris.Fuzz()


def at_random(group: str, seconds: int, directory: Path) -> None:
    """Seeds with pieces cut, doubled, exchanged and flipped, by a fixed seed."""
    from . import targets

    drawn = random.Random(0)
    pool = targets.seeds(group)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = bytearray(drawn.choice(pool))
        for _ in range(drawn.randrange(1, 8)):
            begin, size = drawn.randrange(len(data) + 1), drawn.randrange(1, 20)
            other = drawn.choice(pool)[1:]
            place = drawn.randrange(len(other) + 1)
            piece = drawn.choice(
                [b"", drawn.randbytes(size), other[place : place + size], data[begin : begin + size] * 2]
            )
            data[max(1, begin) : begin + size] = piece
        (directory / "last").write_bytes(data)
        targets.run(group, bytes(data[:LONGEST_BYTES]))


if __name__ == "__main__":
    name, limit, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    place.mkdir(parents=True, exist_ok=True)
    (guided if atheris else at_random)(name, limit, place)
