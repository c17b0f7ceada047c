"""What fits: the memory this worker may use, and which engine process gets which part of it."""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .. import cgroup, memory
from ..config import Settings
from ..errors import InsufficientMemory

log = logging.getLogger(__name__)

CONTAINER, MACHINE = "the container's limit", "the machine's memory"


class MemoryConsumer(Protocol):
    """An engine, as the budget sees it."""

    name: str

    @property
    def last_used(self) -> float:
        """When its last session ended; comparable among consumers only."""

    def measured_mb(self) -> float:
        """What its process weighs now (PSS); 0 without one."""

    def stop_if_unused(self) -> bool:
        """End its process unless a session is running; whether that gave memory back."""


@dataclass
class Budget:
    """
    Admits engine processes while they fit, closes unused ones to make room, the least recently used first, and
    refuses the rest.

    One per worker, shared by its threads. All figures are MB of PSS. What a running engine is counted
    with is the larger of what it declared and what it weighs.
    """

    limit_mb: float
    reserve_mb: float
    weigh_web: Callable[[], float]
    waiting: dict[MemoryConsumer, float] = field(default_factory=dict)  # who waits for room, since when
    _held: dict[MemoryConsumer, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, engine: MemoryConsumer, cost_mb: float) -> None:
        """
        Grant *engine* a process that grows to *cost_mb*; nothing happens when it has as much already.

        InsufficientMemory: it does not fit, and no unused engine is left to close.
        """
        with self._lock:
            if self._held.get(engine, 0) >= cost_mb:
                return
            while not self._fits(engine, cost_mb):
                others = [consumer for consumer in [*self._held] if consumer is not engine]
                if not any(self._evict(one) for one in sorted(others, key=lambda one: one.last_used)):
                    memory.give_back()
                    if not self._fits(engine, cost_mb):
                        raise self._refusal(engine, cost_mb)
            self._held[engine] = cost_mb

    def release(self, engine: MemoryConsumer) -> None:
        """*engine*'s process is gone."""
        self._held.pop(engine, None)

    def is_awaited(self, engine: MemoryConsumer, since: float) -> bool:
        """Whether another than *engine* waits for room, and did at *since*."""
        return any(one is not engine and began <= since for one, began in [*self.waiting.items()])

    def max_single_mb(self) -> float:
        """The most an engine that runs alone may cost."""
        return self.limit_mb - self.reserve_mb - self.weigh_web()

    def shortage(self, engine: MemoryConsumer, cost_mb: float) -> InsufficientMemory | None:
        """Why *engine* could not have *cost_mb* now; None when it could. Changes nothing."""
        held = self._held.get(engine, 0) >= cost_mb
        return None if held or self._fits(engine, cost_mb) else self._refusal(engine, cost_mb)

    def used_mb(self, *, without: MemoryConsumer | None = None) -> float:
        """What the service weighs now, engines counted with at least what they declared."""
        others = [(consumer, cost) for consumer, cost in [*self._held.items()] if consumer is not without]
        return self.weigh_web() + sum(max(cost, consumer.measured_mb()) for consumer, cost in others)

    def _fits(self, engine: MemoryConsumer, cost_mb: float) -> bool:
        return self.used_mb(without=engine) + cost_mb <= self.limit_mb - self.reserve_mb

    def _evict(self, consumer: MemoryConsumer) -> bool:
        if not consumer.stop_if_unused():
            return False
        log.info("engine=%s closed to make room", consumer.name)
        return True

    def _refusal(self, engine: MemoryConsumer, cost_mb: float) -> InsufficientMemory:
        used = self.used_mb(without=engine)
        return InsufficientMemory(
            f"the {engine.name} engine needs {cost_mb:.0f} MB, and of the budget of {self.limit_mb:.0f} MB "
            f"{used:.0f} MB are in use and {self.reserve_mb:.0f} MB are kept free; try again when other work is "
            "done, choose a smaller model (WHISPER_MODEL) or raise MEMORY_BUDGET_MB"
        )


def budget_mb(settings: Settings) -> float:
    """What the whole service may weigh: as set, else what is granted."""
    return settings.memory_budget_mb or granted()[0]


def budget_source(settings: Settings) -> str:
    """Where the budget comes from, for people."""
    return "MEMORY_BUDGET_MB" if settings.memory_budget_mb else granted()[1]


def granted() -> tuple[float, str]:
    """What the container's limit grants, in MB, or the machine's memory where that is less; and which of the two."""
    group = cgroup.memory_group()
    machine_mb = memory.total_mb()
    limit_mb = group.limit_bytes / 2**20 if group and group.limit_bytes else machine_mb
    return (limit_mb, CONTAINER) if limit_mb < machine_mb else (machine_mb, MACHINE)


def weigh_web() -> float:
    """What a worker's share of the service weighs without its engines: itself and its parent, the master."""
    weight = memory.footprint().pss_mb
    try:
        return weight + memory.footprint(os.getppid()).pss_mb
    except ProcessLookupError:
        return weight
