"""
Which files and functions of `app/` one request enters in the web worker, and how deep its stack becomes.

    python -m benchmarks.walk              # a line for each kind of request
    python -m benchmarks.walk --files      # and which files they are

Counted by `sys.setprofile` in every thread of a process that has the app and its real engines, on the second request
of a kind: what is imported or built once does not count, nor what is done every few seconds. The server in front
(gunicorn, `app/server`) is not in it, and what runs in an engine process is not either.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from flask.testing import FlaskClient

from app import checks, create_app
from app.config import PROJECT, Settings
from app.monitoring import monitoring
from tests.server import form

from .recordings import CLIP

APP = f"{PROJECT}/app/"
VOICE = "/api/v1/pam/voice"
JOB_SECONDS = 120  # within which a job must have ended
NO_FUNCTIONS = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<lambda>")


class Walk:
    """The code of `app/` that is entered while `recording`, in this thread and in those that begin from now on."""

    def __init__(self) -> None:
        self.entered: set[CodeType] = set()
        self.deepest = 0
        self.recording = False
        threading.setprofile(self.note)
        sys.setprofile(self.note)

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        """A call, as `sys.setprofile` reports it."""
        if self.recording and event == "call" and frame.f_code.co_filename.startswith(APP):
            self.entered.add(frame.f_code)
            depth, caller = 0, frame
            while caller is not None:
                depth += caller.f_code.co_filename.startswith(APP)
                caller = caller.f_back  # type: ignore[assignment]
            self.deepest = max(self.deepest, depth)

    def files(self) -> list[str]:
        """Their names below `app/`."""
        return sorted({code.co_filename.removeprefix(APP) for code in self.entered})

    def functions(self) -> int:
        """How many functions; a comprehension is none."""
        return len([code for code in self.entered if code.co_name not in NO_FUNCTIONS])


def upload(client: FlaskClient, path: str, **fields: str) -> Any:
    """The answer to a recording in a form."""
    body, content_type = form(CLIP.path.read_bytes(), **fields)
    answer = client.post(path, data=body, content_type=content_type)
    return checked(answer)


def checked(answer: Any) -> Any:
    """*answer*, read to its end; RuntimeError where it is no success."""
    if answer.status_code >= 400:
        raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
    answer.get_data()
    answer.close()
    return answer


def job(client: FlaskClient) -> None:
    """A recording as a job, until its result is there."""
    place = upload(client, f"{VOICE}/jobs").headers["Location"]
    deadline = time.monotonic() + JOB_SECONDS
    while client.get(place).json["state"] not in ("succeeded", "failed"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the job has not ended within {JOB_SECONDS} s")
        time.sleep(0.2)
    checked(client.get(f"{place}/result"))


def speak(client: FlaskClient, text: str) -> None:
    """A text, spoken."""
    checked(client.post(f"{VOICE}/speak", json={"text": text, "engine": "espeak"}))


numbers = iter(range(1000))
# The files a request may enter, at most, where that is decided, and the request.
WAYS: dict[str, tuple[int | None, Callable[[FlaskClient], object]]] = {
    "health": (8, lambda client: checked(client.get("/health"))),
    "transcribe": (18, lambda client: upload(client, f"{VOICE}/transcribe")),
    "transcribe, OpenAI": (18, lambda client: upload(client, "/v1/audio/transcriptions", model="whisper-1")),
    "transcribe, events": (20, lambda client: upload(client, f"{VOICE}/transcribe", stream="true")),
    "speak": (18, lambda client: speak(client, f"Number {next(numbers)}.")),
    "speak, cached": (18, lambda client: speak(client, "Said before.")),
    "job": (28, job),
}


def walk(name: str, data: str) -> Walk:
    """What a request of that kind enters when it is made a second time, in an app of its own."""
    # On a slow machine these would be due between the two requests.
    checks.EVERY_SECONDS = monitoring.AT_WORK_SECONDS = 1e9
    found = Walk()
    app = create_app(Settings(data_dir=f"{data}/{name}", tts_cache_dir=f"{data}/cache"))
    try:
        client, way = app.test_client(), WAYS[name][1]
        way(client)
        found.recording = True
        way(client)
        found.recording = False
    finally:
        app.extensions["services"].close()
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", action="store_true", help="name the files, too")
    parser.add_argument("--json", action="store_true", help="the files by kind of request, as JSON")
    parser.add_argument("ways", nargs="*", metavar="KIND", help=f"which: {'; '.join(WAYS)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        found = {name: walk(name, data) for name in options.ways or WAYS}
    if options.json:
        print(json.dumps({name: one.files() for name, one in found.items()}, indent=1))
        return
    print("| request | files | at most | functions | deepest stack |\n|---|---:|---:|---:|---:|")
    for name, one in found.items():
        most = WAYS[name][0]
        verdict = "" if most is None else f"{most}{' **over**' if len(one.files()) > most else ''}"
        print(f"| {name} | {len(one.files())} | {verdict} | {one.functions()} | {one.deepest} |")
    if options.files:
        for name, one in found.items():
            print(f"\n{name}: {' '.join(one.files())}")


if __name__ == "__main__":
    main()
