"""`python -m tests.hostile DIRECTORY` writes the corpus there, a file for each request."""

import sys
from pathlib import Path

from . import corpus

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for number, attack in enumerate(corpus()):
        (directory / f"{number:03} {attack.family}").write_bytes(attack.sent)
    print(f"{number + 1} requests in {directory}")
