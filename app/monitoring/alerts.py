"""What an operator should look at: readings against the thresholds that are set."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Settings


@dataclass(frozen=True, slots=True)
class Readings:
    """The figures alerts are about: of 5 minutes the first two, of the moment the next two, of an hour the last."""

    error_percent: float
    latency_seconds: float
    memory_percent: float
    disk_percent: float
    engine_restarts: int


def judged(settings: Settings, readings: Readings) -> list[dict[str, object]]:
    """Each alert with its threshold, its reading, and whether it is active."""
    found: list[dict[str, object]] = []
    for name in Readings.__dataclass_fields__:
        reading, threshold = getattr(readings, name), getattr(settings, f"alert_{name}")
        found.append(
            {
                "name": name,
                "setting": f"ALERT_{name.upper()}",
                "threshold": threshold,
                "value": round(reading, 3),
                "active": reading > threshold,
            }
        )
    return found
