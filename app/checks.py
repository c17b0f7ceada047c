"""What a service can do now, and why not when it can't."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Status = Literal["healthy", "degraded", "unhealthy"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the service needs; *reason* says what is wrong and what to do, empty when nothing is."""

    name: str
    reason: str = ""
    detail: str = ""

    @property
    def status(self) -> Status:
        """As far as this one thing goes."""
        return "unhealthy" if self.reason else "healthy"


def overall(checks: Iterable[Check]) -> Status:
    """Healthy when all is well, degraded when something works, unhealthy when nothing does."""
    failed = [bool(check.reason) for check in checks]
    if not any(failed):
        return "healthy"
    return "unhealthy" if all(failed) else "degraded"
