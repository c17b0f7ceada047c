"""
Several models side by side, on recordings of people: who answers, in which language, how well, in how much memory.

`--clips FOLDER` names them, with a `clips.tsv` as `accuracy.py` describes it. tiny.en and base have to be in MODEL_DIR;
the memory group needs root, and a machine where one can be made.
"""

import argparse
import collections
import csv
import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .accuracy import wrong_words
from .cgroup import MemoryGroup
from .service import Service
from .table import HEADING, Row

DEFAULT, MANY = (
    "tiny.en,base",
    "tiny.en,base,tiny,base.en,small,small.en,medium,medium.en,large-v3,large-v3-turbo,distil-large-v3",
)
CLIENTS, LIMIT_MB, SECONDS = 8, 512, 300
LONGEST_WAIT_SECONDS = 2.0  # clients come back at least this often, whatever Retry-After says
ROUNDS = 6  # the service's own weight varies from start to start by more than a model costs

Clip = dict[str, str]


def measure(folder: Path, quick: bool) -> Iterator[Row]:
    """Everything; quick: 40 s of load, and fewer starts."""
    with (folder / "clips.tsv").open() as lines:
        clips = list(csv.DictReader(lines, delimiter="\t"))
    yield from idle(2 if quick else ROUNDS)
    yield from alone(folder, clips)
    yield from at_once(folder, clips, 40 if quick else SECONDS)


def idle(rounds: int) -> Iterator[Row]:
    """What a model costs that is listed and does not run: two lists, by turns."""
    weights: dict[str, list[float]] = {DEFAULT: [], MANY: []}
    for models in [*weights] * rounds:
        with Service({"WHISPER_MODEL": models, "MEMORY_BUDGET_MB": "4096"}) as service:
            for _ in range(20):
                service.get("/health")
            weights[models].append(service.weigh().total_mb)
    more = len(MANY.split(",")) - len(DEFAULT.split(","))
    each = (statistics.median(weights[MANY]) - statistics.median(weights[DEFAULT])) / more
    yield Row("idle, each model that is listed and not running", each, "MB", 0.1)


def alone(folder: Path, clips: list[Clip]) -> Iterator[Row]:
    """One after the other, without a language, beside the model of each language with it."""
    wrong: collections.Counter[str] = collections.Counter()
    right = 0
    with Service({"WHISPER_MODEL": DEFAULT, "ENGINE_IDLE_SECONDS": "60"}) as service:
        for clip in clips:
            path, language = folder / clip["file"], clip["language"]
            kind = "English" if language == "en" else "others"
            heard = service.transcribe(path).json
            right += heard["language"] == language
            wrong[kind] += wrong_words(clip["transcript"], heard["text"])
            model = "tiny.en" if language == "en" else "base"
            told = service.transcribe(path, model=model, language=language).json
            wrong[f"{kind}, told"] += wrong_words(clip["transcript"], told["text"])
    yield Row("language wrong", 100 * (len(clips) - right) / len(clips), "% of clips", 2)
    for kind, model in (("English", "tiny.en"), ("others", "base")):
        yield Row(f"{kind}: words wrong, {model} told the language", wrong[f"{kind}, told"], "")
        yield Row(f"{kind}: words wrong, nothing told", wrong[kind], "", wrong[f"{kind}, told"])


def at_once(folder: Path, clips: list[Clip], seconds: float) -> Iterator[Row]:
    """Eight clients, one of each language after the other, in a group of 512 MB."""
    by_language: dict[str, list[Clip]] = collections.defaultdict(list)
    for clip in clips:
        by_language[clip["language"]].append(clip)
    turns = [
        by_language["en"][0],
        *(others[-1] for language, others in by_language.items() if language != "en"),
    ][:7]
    statuses: collections.Counter[str] = collections.Counter()
    wrong: collections.Counter[str] = collections.Counter()
    deadline = time.monotonic() + seconds

    def client(service: Service, number: int) -> None:
        for clip in itertools.islice(itertools.cycle(turns), number, None):
            if time.monotonic() > deadline:
                return
            answer = service.transcribe(folder / clip["file"])
            asked = answer.headers.get("retry-after")
            statuses[f"{answer.status}" + (" with Retry-After" if asked else "")] += 1
            if answer.status == 200:
                wrong[clip["language"]] += answer.json["language"] != clip["language"]
            elif asked:
                time.sleep(min(float(asked), LONGEST_WAIT_SECONDS))

    where = f"{LIMIT_MB} MB, {CLIENTS} clients, {len(turns)} languages by turns, {seconds:.0f} s"
    with MemoryGroup(LIMIT_MB) as group:
        with Service({"WHISPER_MODEL": DEFAULT}, command_prefix=group.command_prefix) as service:
            clients = [threading.Thread(target=client, args=(service, number)) for number in range(CLIENTS)]
            for one in clients:
                one.start()
            for one in clients:
                one.join()
        yield Row(f"{where}: processes killed by the kernel", group.kills, "", 0)
        for status, count in sorted(statuses.items()):
            expected = status in ("200", "503 with Retry-After")
            yield Row(f"{where}: answers {status}", count, "", None if expected else 0)
        yield Row(f"{where}: answers in a wrong language", wrong.total(), "", 0)
        yield Row(f"{where}: peak as the kernel counts, with page cache", group.peak_mb, "MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--clips", type=Path, metavar="FOLDER", required=True, help="recordings of people, with clips.tsv"
    )
    parser.add_argument("--quick", action="store_true", help="a shorter load and fewer starts")
    options = parser.parse_args()
    print(HEADING)
    for row in measure(options.clips, options.quick):
        print(row, flush=True)
