"""The names of the parts a long job is done in."""

from ..job import Job

MARK = "~"


def part_ids(job: Job) -> list[str]:
    """The ids of *job*'s parts. They have its attempt in them: those of another one mean nothing."""
    return [f"{job.id}{MARK}{job.attempt}{MARK}{number}" for number in range(job.extra.get("parts", 0))]


def is_part(job: Job) -> bool:
    """Whether it is a part of another job; nobody is shown those."""
    return is_part_id(job.id)


def is_part_id(id: str) -> bool:
    """The same, by its id."""
    return MARK in id


def whole_id(id: str) -> str:
    """The job that *id* is a part of; itself when it is none."""
    return id.partition(MARK)[0]
