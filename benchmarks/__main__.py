"""`python -m benchmarks [--quick]`: every benchmark, one table."""

import subprocess
import sys

from .table import HEADING

# In processes of their own: what one imports or leaves in its heap is not in the next one's way.
NAMES = (
    "memory",
    "speed",
    "accuracy",
    "synthesis",
    "voices",
    "openai_audio",
    "command_line",
    "cgroup",
    "environment",
    "monitoring",
    "jobs",
    "resume",
    "access",
    "page",
    "hostile",
    "comparison",
)


def main() -> int:
    """How many benchmarks failed to run; a figure over its limit is shown, and no failure."""
    print(HEADING, flush=True)
    failed = 0
    for name in NAMES:
        command = [sys.executable, "-m", f"benchmarks.{name}", "--no-heading", *sys.argv[1:]]
        failed += subprocess.run(command).returncode != 0
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
