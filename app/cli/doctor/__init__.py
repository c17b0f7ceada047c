"""`doctor`: looks at everything the service needs, and says what is wrong and what to do."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator

import click

from ...config import ConfigError, Settings
from ...services import Services
from ...startup import problems
from ..engines import quiet
from . import machine, speech
from .machine import ERROR, WARNING, Finding, error

COLOURS = {"error": "red", "warning": "yellow", "ok": "green"}
OF_SETTINGS: tuple[Callable[[Settings], Iterable[Finding]], ...] = (
    machine.packages,
    machine.processors,
    machine.memory,
    machine.port,
    machine.directories,
    machine.redis,
    machine.broker,
    machine.job_storage,
)
OF_SERVICES: tuple[Callable[[Services], Iterable[Finding]], ...] = (
    speech.model,
    speech.budget,
    speech.synthesizers,
    machine.checks,
    machine.keys,
)


@click.command(
    help="Check everything the service needs and say what to do; ends with status 1 if there is an error."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--try", "try_out", is_flag=True, help="Also speak a sentence and transcribe it: some seconds.")
def doctor(as_json: bool, try_out: bool) -> None:
    """Print a line for each thing, as soon as it is known."""
    shown = []
    for finding in findings(try_out=try_out):
        shown.append(finding)
        if not as_json:
            show(finding)
    counts = {status: sum(finding.status == status for finding in shown) for status in COLOURS}
    if as_json:
        report = {"ok": not counts[ERROR], "findings": [finding._asdict() for finding in shown]}
        click.echo(json.dumps(report, indent=2))
    else:
        errors, warnings = counts[ERROR], counts[WARNING]
        click.echo(f"\n{errors} error{'s'[errors == 1 :]}, {warnings} warning{'s'[warnings == 1 :]}")
    sys.exit(1 if counts[ERROR] else 0)


def show(finding: Finding) -> None:
    """Print a line, and the remedy on the next."""
    status = click.style(f"{finding.status:8}", COLOURS[finding.status])
    click.echo(f"{status} {finding.name:14} {finding.detail}")
    if finding.remedy:
        click.echo(f"{'':23} -> {finding.remedy}")


def findings(*, try_out: bool) -> Iterator[Finding]:
    """
    Each finding as it is made, in the order in which one explains the next.

    Problems that stop the start come first; of what has one, nothing else is reported.
    """
    try:
        settings = Settings.from_env()
        yield from machine.misspelt()
    except ConfigError as problem:
        yield from (error("settings", sentence, machine.WRONG) for sentence in problem.sentences)
        with contextlib.suppress(ConfigError):  # where `.env` itself can't be read
            yield from machine.misspelt()
        return
    wrong = [error(name, sentence, machine.WRONG) for name, sentence in problems(settings)]
    yield from machine.settings(settings)
    yield from wrong
    stopped = {finding.name for finding in wrong}
    for examine in OF_SETTINGS:
        yield from (finding for finding in examined(examine, settings) if finding.name not in stopped)
    if wrong:
        return
    with quiet(), contextlib.closing(Services.build(settings)) as services:
        for look in (*OF_SERVICES, *((speech.trial,) if try_out else ())):
            yield from examined(look, services)


def examined(examine: Callable[..., Iterable[Finding]], about: Settings | Services) -> Iterator[Finding]:
    """The findings of *examine*; a package that it lacks is an error."""
    try:
        yield from examine(about)
    except ImportError as missing:
        yield error(examine.__name__, f"can't be looked at: {missing}", machine.INSTALL)
