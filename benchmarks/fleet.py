"""
How many workers how many jobs need, simulated: the tables of `docs/scaling.md`.

Jobs arrive at random (a Poisson process), their recordings are as long as MIX says, and wait in one queue for the
first worker that is free. A long one is looked over and cut by that worker, and its parts are done while no whole job
waits. Nothing is measured here: what the work takes was, elsewhere, and stands below. The same seed gives the same
tables.
"""

import argparse
import heapq
import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Of one processor, for a second of speech: tiny.en, greedy, with one thread; 0.0585 in 10 minutes of it.
WORK_SECONDS = 0.06
# For a job or a part of one, whatever its length: its message, its recording from the storage, its result.
JOB_SECONDS = 0.5
PART_SECONDS = 600.0  # JOB_PART_MINUTES
SURVEY_SECONDS = 0.005  # to look over a second of a recording, for where it may be cut
# Kind, share of the jobs, minutes: each recording is half to one and a half times as long.
MIX = (("message", 0.70, 0.5), ("call", 0.20, 5.0), ("meeting", 0.09, 30.0), ("day", 0.01, 120.0))
LOADS = {1_000: 24.0, 100_000: 2.0}  # jobs an hour, and the hours that are simulated
SEED = 8
HEADROOM = (1.02, 1.05, 1.1, 1.2, 1.35, 1.6, 2.0)  # workers, as multiples of those that are busy
WARM_UP = 0.2  # of the jobs, at the beginning, when no queue has formed yet, are not counted


@dataclass(frozen=True)
class Size:
    """A dyno or instance: dollars a month by its list price, and the processors to expect of it."""

    name: str
    dollars: float
    processors: float
    memory_mb: int


# List prices: devcenter.heroku.com/articles/usage-and-billing (as of February 2023) and render.com/pricing (2025).
# Render states its processors. Heroku states relative shares only; what is assumed here is what one busy process
# gets on a dyno with ordinary neighbours, and on a Performance-M the two hardware threads of one core.
SIZES = (
    Size("Heroku Basic", 7, 0.5, 512),
    Size("Heroku Standard-1X", 25, 0.5, 512),
    Size("Heroku Standard-2X", 50, 1.0, 1024),
    Size("Heroku Performance-M", 250, 1.3, 2560),
    Size("Render Starter", 7, 0.5, 512),
    Size("Render Standard", 25, 1.0, 2048),
    Size("Render Pro", 85, 2.0, 4096),
)
HOURS_A_MONTH = 730.0


@dataclass(frozen=True, slots=True)
class Job:
    """When it comes, and its work in seconds of a worker: what is done first, then the parts side by side."""

    arrived: float
    first: float
    parts: Sequence[float] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs of a simulation, in seconds, in the order they arrived."""

    waits: list[float]  # until a worker began
    turnarounds: list[float]  # until the result was there


def simulate(jobs: Sequence[Job], workers: int) -> Outcome:
    """*jobs*, in the order they arrive, on equal *workers* that take what waited longest, parts where none waits."""
    begun = [math.inf] * len(jobs)
    ended = [0.0] * len(jobs)
    waiting: deque[tuple[int, float]] = deque()  # whole jobs, and what is done first of them
    behind: deque[tuple[int, float]] = deque()  # parts: job, work
    # What a worker is busy with: when it ends, and for a job that was cut just now, its number, else -1.
    busy: list[tuple[float, int]] = []
    coming = 0
    while coming < len(jobs) or busy:
        arrival = jobs[coming].arrived if coming < len(jobs) else math.inf
        now = min(arrival, busy[0][0] if busy else math.inf)
        if now == arrival:
            waiting.append((coming, jobs[coming].first))
            coming += 1
        else:
            _, cut = heapq.heappop(busy)
            behind += [(cut, work) for work in (jobs[cut].parts if cut >= 0 else ())]
        while len(busy) < workers and (waiting or behind):
            is_first = bool(waiting)
            number, work = (waiting or behind).popleft()
            if is_first:
                begun[number] = now
            ended[number] = max(ended[number], now + work)
            heapq.heappush(busy, (now + work, number if is_first and jobs[number].parts else -1))
    return Outcome(
        [start - job.arrived for start, job in zip(begun, jobs, strict=True)],
        [end - job.arrived for end, job in zip(ended, jobs, strict=True)],
    )


def arrivals(jobs_an_hour: float, count: int, draw: random.Random) -> Iterator[float]:
    """When *count* jobs arrive, in seconds: independent of each other."""
    now = 0.0
    for _ in range(count):
        now += draw.expovariate(jobs_an_hour / 3600)
        yield now


def recording_seconds(draw: random.Random) -> float:
    """The length of one recording out of MIX."""
    [(_, _, minutes)] = draw.choices(MIX, [share for _, share, _ in MIX])
    return 60 * minutes * draw.uniform(0.5, 1.5)


def mean_recording_seconds() -> float:
    """What `recording_seconds` is on the average."""
    return 60 * sum(share * minutes for _, share, minutes in MIX)


def job_of(arrived: float, seconds: float, part_seconds: float = PART_SECONDS) -> Job:
    """The job of a recording of that length; *part_seconds* of 0 cuts none."""
    parts = math.ceil(seconds / part_seconds) if part_seconds else 1
    look = JOB_SECONDS + (SURVEY_SECONDS * seconds if part_seconds else 0.0)
    if parts == 1:
        return Job(arrived, look + WORK_SECONDS * seconds)
    return Job(arrived, look, [JOB_SECONDS + WORK_SECONDS * seconds / parts] * parts)


def work_of(job: Job) -> float:
    """All of it, in seconds of one worker."""
    return job.first + sum(job.parts)


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of *values* that *percent* of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


def day(jobs_an_hour: int, hours: float, part_seconds: float = PART_SECONDS) -> list[Job]:
    """The jobs of so many hours."""
    draw = random.Random(SEED)
    count = round(jobs_an_hour * hours)
    return [
        job_of(arrived, recording_seconds(draw), part_seconds)
        for arrived in arrivals(jobs_an_hour, count, draw)
    ]


def waits_table(jobs: list[Job]) -> Iterator[str]:
    """Queue waits for numbers of workers around what the load needs at least."""
    busy = sum(map(work_of, jobs)) / jobs[-1].arrived
    counted_from = round(len(jobs) * WARM_UP)
    yield "| workers | busy | wait: median | 95 % | 99 % | done: median | 95 % | 99 % |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for workers in sorted({math.ceil(busy * headroom) for headroom in HEADROOM}):
        outcome = simulate(jobs, workers)
        figures = [
            spelled(percentile(values[counted_from:], percent))
            for values in (outcome.waits, outcome.turnarounds)
            for percent in (50, 95, 99)
        ]
        yield f"| {workers:,} | {busy / workers:.0%} | {' | '.join(figures)} |"


def costs_table() -> Iterator[str]:
    """What an hour of audio costs on each size when its workers are busy most of the time."""
    busy = 0.75
    yield "| size | list price a month | processors | audio hours an hour | an hour of audio |"
    yield "|---|---:|---:|---:|---:|"
    for size in SIZES:
        mean = mean_recording_seconds()
        work = sum(share * work_of(job_of(0.0, 60 * minutes)) for _, share, minutes in MIX)
        audio_hours = busy * size.processors * mean / work
        cents = 100 * size.dollars / HOURS_A_MONTH / audio_hours
        yield f"| {size.name} | ${size.dollars:g} | {size.processors:g} | {audio_hours:.1f} | {cents:.2f} ¢ |"


def spelled(seconds: float) -> str:
    """A time as people read it."""
    if seconds < 0.05:
        return "0"
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def main() -> None:
    """Print the tables of `docs/scaling.md`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--jobs", type=int, help="an hour; without it, all tables of docs/scaling.md")
    parser.add_argument("--hours", type=float, default=24, help="that are simulated")
    parser.add_argument(
        "--part-minutes", type=float, default=PART_SECONDS / 60, help="0: recordings stay whole"
    )
    options = parser.parse_args()
    if options.jobs:
        jobs = day(options.jobs, options.hours, options.part_minutes * 60)
        print("\n".join(waits_table(jobs)))
        return
    for jobs_an_hour, hours in LOADS.items():
        print(f"\n{jobs_an_hour:,} jobs an hour\n")
        print("\n".join(waits_table(day(jobs_an_hour, hours))))
    print()
    print("\n".join(costs_table()))


if __name__ == "__main__":
    main()
