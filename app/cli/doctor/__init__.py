"""`doctor`: why it does not work here, in one command."""

import json
import sys
from dataclasses import asdict

import click

from . import examination
from .finding import ERROR, Finding

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command(
    help="Look at everything the service needs and say what to do; leaves with 1 when there is an error."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--try", "try_out", is_flag=True, help="Also speak a sentence and transcribe it: some seconds.")
def doctor(as_json: bool, try_out: bool) -> None:
    """A line for each thing, as soon as it is known."""
    found = []
    for finding in examination.all_findings(try_out=try_out):
        found.append(finding)
        if not as_json:
            show(finding)
    errors = sum(finding.status == ERROR for finding in found)
    if as_json:
        click.echo(json.dumps({"ok": not errors, "findings": [asdict(one) for one in found]}, indent=2))
    else:
        warnings = sum(finding.status == "warning" for finding in found)
        click.echo(
            f"\n{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
        )
    sys.exit(1 if errors else 0)


def show(finding: Finding) -> None:
    """A line, and what to do about it on the next."""
    click.echo(
        f"{click.style(f'{finding.status:8}', COLOURS[finding.status])} {finding.name:14} {finding.detail}"
    )
    if finding.remedy:
        click.echo(f"{'':23} -> {finding.remedy}")
