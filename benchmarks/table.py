"""The table all benchmarks print: one line as soon as a figure is known."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HEADING = "| what | measured | at most | |\n|---|---:|---:|---|"


@dataclass(frozen=True)
class Row:
    """One figure, and the limit it has to keep (issue 3's and 4's tables), where it has one."""

    what: str
    measured: float
    unit: str
    at_most: float | None = None

    def __str__(self) -> str:
        limit = "" if self.at_most is None else f"{self.at_most:.4g} {self.unit}"
        verdict = "" if self.at_most is None else "ok" if self.measured <= self.at_most else "**over**"
        return f"| {self.what} | {self.measured:.4g} {self.unit} | {limit} | {verdict} |"


def main(measure: Callable[[bool], Iterator[Row]]) -> None:
    """Run *measure*, a benchmark whose argument says whether to be quick, and print its rows."""
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter recordings and fewer rounds")
    parser.add_argument("--no-heading", action="store_true", help="rows only")
    options = parser.parse_args()
    if not options.no_heading:
        print(HEADING)
    for row in measure(options.quick):
        print(row, flush=True)
