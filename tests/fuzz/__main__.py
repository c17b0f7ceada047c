"""
`python -m tests.fuzz GROUP SECONDS DIRECTORY [SEED]` fuzzes a group of targets; a crash ends it, its input kept.

With SEED, RUNS inputs follow from it, the same each time, however long they take; without, other ones at each start.

With atheris, guided by what of our code an input reaches. Python 3.10 has no atheris: there the seeds are
changed at random.
"""

import itertools
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
RUNS = 10_000


def guided(group: str, seconds: int, directory: Path, seed: str | None) -> None:
    """Never returns: libFuzzer ends the process."""
    with atheris.instrument_imports(include=["app", "werkzeug.sansio", "markdown_it"]):
        from . import targets
    corpus = directory / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, known in enumerate(targets.seeds(group)):
        (corpus / f"seed{number}").write_bytes(known)
    options = [f"-seed={seed}", f"-runs={RUNS}"] if seed else [f"-max_total_time={seconds}"]
    options += [f"-timeout={SLOW_SECONDS}", f"-max_len={LONGEST_BYTES}"]
    options += [
        f"-artifact_prefix={directory}/",
        "-print_final_stats=1",
        "-verbosity=1",
        "-rss_limit_mb=4096",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: targets.run(group, data))
    atheris.Fuzz()


def at_random(group: str, seconds: int, directory: Path, seed: str | None) -> None:
    """Seeds with pieces cut, doubled, exchanged and flipped."""
    from . import targets

    drawn = random.Random(seed)
    pool = targets.seeds(group)
    end = time.monotonic() + seconds
    for _ in (
        range(RUNS) if seed else itertools.takewhile(lambda _: time.monotonic() < end, itertools.count())
    ):
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
    name, limit, place, *rest = sys.argv[1:]
    Path(place).mkdir(parents=True, exist_ok=True)
    (guided if atheris else at_random)(name, int(limit), Path(place), rest[0] if rest else None)
