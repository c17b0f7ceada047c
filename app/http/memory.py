"""How large everything is, and a way to ask for memory back."""

import gc

from flask import Blueprint, Response, jsonify

from .. import cgroup
from .. import memory as room
from . import params
from .hooks import services
from .params import Flag
from .requests import receive_fields

memory = Blueprint("memory", __name__)

UNLOAD = (Flag("unload", "end the engines that nobody is using, too", False),)
NOTE = (
    "Memory optimizer disabled: Python's garbage collector runs as it is, and speech runs in processes that "
    "give their memory back by ending. PSS counts a page shared by n processes as 1/n, so it adds up."
)


@memory.get("/api/memory")
@memory.get("/memory")
def sizes() -> Response:
    """The machine, this process, the whole service, its container, the budget and the garbage collector, in MB."""
    machine, own = room.system(), room.footprint()
    processes = services().processes()
    group = cgroup.memory_group()
    return jsonify(
        system={
            "total_mb": _mb(machine.total_mb),
            "used_mb": _mb(machine.used_mb),
            "available_mb": _mb(machine.available_mb),
            "percent": _mb(machine.percent),
        },
        process={
            "rss_mb": _mb(own.rss_mb),
            "pss_mb": _mb(own.pss_mb),
            "uss_mb": _mb(own.uss_mb),
            "percent": round(100 * own.rss_mb / machine.total_mb, 2),
        },
        service={
            "pss_mb": _mb(sum(process.footprint.pss_mb for process in processes)),
            "budget_mb": _mb(services().speech.budget.limit_mb * services().settings.web_concurrency),
            "processes": [
                {
                    "pid": process.pid,
                    "role": process.role,
                    "rss_mb": _mb(process.footprint.rss_mb),
                    "pss_mb": _mb(process.footprint.pss_mb),
                }
                for process in processes
            ],
        },
        cgroup={
            "limit_mb": _mb(group.limit_bytes / 2**20) if group.limit_bytes else None,
            "usage_mb": _mb(group.usage_bytes / 2**20),
            "oom_kills": group.oom_kills,
        }
        if group
        else None,
        budget=_budget(),
        gc={
            "counts": gc.get_count(),
            "collections": [generation["collections"] for generation in gc.get_stats()],
            "frozen": gc.get_freeze_count(),
        },
        note=NOTE,
    )


def _budget() -> dict[str, object]:
    speech = services().speech
    used = speech.budget.used_mb()
    engines = [engine.state()._asdict() for engine in speech.engines]
    for engine in engines:
        engine["pss_mb"] = _mb(engine["pss_mb"])
    return {
        "limit_mb": _mb(speech.budget.limit_mb),
        "reserve_mb": _mb(speech.budget.reserve_mb),
        "used_mb": _mb(used),
        "available_mb": _mb(max(0.0, speech.budget.limit_mb - speech.budget.reserve_mb - used)),
        "engines": engines,
    }


@memory.post("/api/memory/optimize")
@memory.post("/memory/optimize")
def optimize() -> Response:
    """Collect garbage and trim the heap; `{"unload": true}` also ends the engines nobody is using."""
    unload = params.read(UNLOAD, receive_fields(example='{"unload": true}'))["unload"]
    before = sum(process.footprint.pss_mb for process in services().processes())
    unloaded = services().speech.unload() if unload else 0
    collected = room.give_back()
    after = sum(process.footprint.pss_mb for process in services().processes())
    return jsonify(
        message="Garbage collected, free heap returned to the system"
        + (f", {unloaded} engine{'' if unloaded == 1 else 's'} ended" if unload else ""),
        objects_collected=collected,
        engines_unloaded=unloaded,
        before_mb=_mb(before),
        after_mb=_mb(after),
        freed_mb=_mb(max(0.0, before - after)),
    )


def _mb(megabytes: float) -> float:
    return round(megabytes, 1)
