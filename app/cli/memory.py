"""`memory`: a live view of the memory of a running service."""

import json
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterable
from http.client import HTTPException
from typing import Any

import click

from .. import startup
from ..config import Settings, read_http_url

BAR_WIDTH = 40
SPARKS_SHOWN = 60  # totals in the line at the bottom
SPARKS = "▁▂▃▄▅▆▇█"
TIMEOUT_SECONDS = 5
Report = dict[str, Any]  # what GET /api/memory answers


@click.command(
    help="The memory of the service at URL, by process, beside its budget; by default the one on PORT here."
)
@click.argument("url", required=False)
@click.option("--once", is_flag=True, help="One look instead of a live view.")
@click.option("--every", type=click.FloatRange(0.5, 3600), default=2.0, show_default=True, help="Seconds.")
@click.option(
    "--api-key", envvar="API_KEY", help="A key, if the service has API_KEYS; or the variable API_KEY."
)
def memory(url: str | None, once: bool, every: float, api_key: str | None) -> None:
    """Draw the view again every few seconds on a terminal; elsewhere print one after the other."""
    settings = Settings.from_env()
    base = (url or startup.url((settings.host, settings.port))).rstrip("/")
    live = click.get_text_stream("stdout").isatty() and not once
    totals: deque[float] = deque(maxlen=SPARKS_SHOWN)
    while True:
        report = fetch_report(base, api_key)
        totals.append(report["service"]["pss_mb"])
        if live:
            click.clear()
        click.echo("\n".join([f"{base}  {time.strftime('%H:%M:%S')}", *draw(report, totals)]))
        if once:
            return
        try:
            time.sleep(every)
        except KeyboardInterrupt:  # how a live view is left
            return


def fetch_report(base: str, api_key: str | None) -> Report:
    """The answer of GET /api/memory; ClickException if there is none."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        address = f"{read_http_url(base)}/api/memory"
    except ValueError as wrong:
        raise click.UsageError(f"{base!r} is not an address: it {wrong}") from None
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 (checked above)
    another = click.ClickException(f"the server at {base} is not this service")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            report: Report = json.load(response)
    except urllib.error.HTTPError as error:
        error.close()
        remedy = "; send a key with --api-key or API_KEY" if error.code == 401 else ""
        raise click.ClickException(f"{base} answers {error.code} {error.reason}{remedy}") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        problem = f"nothing answers at {base} ({reason}); `make run` starts the service"
        raise click.ClickException(problem) from None
    except (ValueError, HTTPException):
        raise another from None
    if not isinstance(report, dict) or not report.keys() >= {"budget", "service", "cgroup"}:
        raise another
    return report


def draw(report: Report, totals: Iterable[float]) -> list[str]:
    """The lines of the view."""
    budget, service = report["budget"], report["service"]
    limit = service["budget_mb"]  # of all workers; *budget* is that of the one that answers
    used = service["pss_mb"]
    lines = [f"{'budget':10} {limit:8.1f} MB  {bar(used, limit)} {used / limit:.0%} in use"]
    engines = {engine["pid"]: engine for engine in budget["engines"]}
    for process in service["processes"]:
        engine = engines.get(process["pid"])
        state = f" {engine['state']}, {engine['seats_taken']} of {engine['seats']} seats" if engine else ""
        weight = process["pss_mb"]
        lines.append(f"{process['role']:10} {weight:8.1f} MB  {bar(weight, limit)}{state}")
    lines.append(f"{'all':10} {used:8.1f} MB  {sparks(totals, limit)}")
    group = report["cgroup"]
    if group and group["limit_mb"]:
        lines.append(
            f"{'container':10} {group['usage_mb']:8.1f} MB  of {group['limit_mb']:.0f} MB, page cache included; "
            f"{group['oom_kills']} killed"
        )
    return lines


def bar(part_mb: float, whole_mb: float) -> str:
    """A bar that is *whole_mb* wide, filled up to *part_mb*."""
    filled = min(BAR_WIDTH, round(BAR_WIDTH * part_mb / whole_mb))
    return "█" * filled + "·" * (BAR_WIDTH - filled)


def sparks(totals: Iterable[float], whole_mb: float) -> str:
    """The last totals, each as a small column; the full height is the budget."""
    return "".join(SPARKS[min(len(SPARKS) - 1, int(len(SPARKS) * total / whole_mb))] for total in totals)
