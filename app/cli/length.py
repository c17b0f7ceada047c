"""
How long a recording says it is.

`python -m app.cli.length FILE` prints it: in a process of its own, because who has imported PyAV stays 35 MB larger.
"""

import subprocess
import sys

from ..config import PROJECT

LIMIT_SECONDS = 10


def stated_seconds(path: str) -> float | None:
    """What the file's header says; None where it says nothing, as a browser's recording does."""
    command = [sys.executable, "-m", "app.cli.length", path]
    try:
        asked = subprocess.run(  # noqa: S603 (our own command)
            command, cwd=PROJECT, capture_output=True, timeout=LIMIT_SECONDS, check=True
        )
        return float(asked.stdout)
    except (subprocess.SubprocessError, ValueError):
        return None


def main(path: str) -> None:
    """Print it, or nothing."""
    from ..engine_process.stt import decode

    with open(path, "rb") as file, decode.open_container(file) as container:
        if container.duration:
            print(container.duration / 1_000_000)


if __name__ == "__main__":
    main(sys.argv[1])
