"""Everything that is looked at, in the order in which one thing explains the next."""

from collections.abc import Callable, Iterable, Iterator

from ...config import Settings
from . import access, backends, disk, machine, model, settings, synthesis, trial
from .finding import Finding, error

Examination = Callable[[Settings], Iterable[Finding]]

EXAMINATIONS: tuple[Examination, ...] = (
    machine.packages,
    machine.processors,
    machine.memory,
    model.transcription,
    model.budget,
    synthesis.synthesizers,
    machine.port,
    disk.directories,
    backends.redis,
    backends.broker,
    backends.job_storage,
    access.keys,
)


def all_findings(*, try_out: bool) -> Iterator[Finding]:
    """Each finding as it is made; where the settings can't be read there is nothing else to look at."""
    found, read = settings.examined()
    yield from found
    if read is None:
        return
    for examination in (*EXAMINATIONS, *((trial.speech_and_back,) if try_out else ())):
        try:
            yield from examination(read)
        except ImportError as missing:
            name = f"{examination.__module__.rpartition('.')[2]}"
            yield error(name, f"can't be looked at: {missing}", "pip install -r requirements.txt")
