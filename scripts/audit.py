"""
`python scripts/audit.py`: whether requirements.txt has versions with known vulnerabilities, by pip-audit.

Exit status 1 when it has. Where no database of them can be reached that is said, and is no failure: the same
commit must not fail because a network is down. pip-audit by itself says "No known vulnerabilities found" where
an index answers 404 for every package.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
SERVICES = ("pypi", "osv")
SECONDS = 120


def main() -> int:
    """Ask one database after the other until one knows every package."""
    for service in SERVICES:
        found = audited(service)
        if found is None:
            continue
        known = [package for package in found if "skip_reason" not in package]
        for package in known:
            for flaw in package["vulns"]:
                fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
                print(f"{package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}")
        if any(package["vulns"] for package in known):
            return 1
        if len(known) == len(found):
            print(f"no known vulnerability in {len(known)} packages, by {service}")
            return 0
    print("NOT AUDITED: no database can be asked about every package; run it where one can", file=sys.stderr)
    return 0


def audited(service: str) -> list[dict[str, Any]] | None:
    """What *service* says of each package; None when it can't be asked."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        str(REQUIREMENTS),
        "--vulnerability-service",
        service,
    ]
    command += ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)  # noqa: S603 (our own command)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return packages


if __name__ == "__main__":
    raise SystemExit(main())
