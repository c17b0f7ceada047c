"""The recordings benchmarks send, made once and kept in the system's temporary directory."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = Path(tempfile.gettempdir()) / "voice-benchmarks"


@dataclass(frozen=True)
class Recording:
    """A file, what is said in it, and about how long it is."""

    path: Path
    seconds: float

    @property
    def text(self) -> str:
        """What is said."""
        return self.path.with_suffix(".txt").read_text()


CLIP = Recording(ROOT / "tests" / "data" / "austen_11s.flac", 11.09)


def long_recording(minutes: int, suffix: str = ".ogg") -> Recording:
    """Clean speech of that length; the first time an hour takes a minute to make."""
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"speech_{minutes}min{suffix}"
    if not path.with_suffix(".txt").exists():  # written last
        command = [sys.executable, "-m", "tests.long_speech", str(minutes * 60), str(path)]
        subprocess.run(command, cwd=ROOT, check=True)
    return Recording(path, minutes * 60)
