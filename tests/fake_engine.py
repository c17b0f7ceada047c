"""
`python -m tests.fake_engine`: a process that speaks the wire and knows no speech.

A session's "steps" says what each of its steps does: "word" sends a message, "hang" sleeps for good, "die"
ends the process, "refuse" is refused, "garbage" breaks the wire, "count" tells how many sessions are open.
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator

from app.engine import protocol
from app.engine_process.__main__ import keep_pipe_for_ourselves, read_questions, serve
from app.engine_process.sandbox import confine


class FakeEngine:
    """Does what the header says."""

    sessions = 0

    def open(self, header: protocol.Header) -> Iterator[protocol.Message | None]:
        self.sessions += 1
        try:
            yield from self.steps(header)
        finally:
            self.sessions -= 1

    def steps(self, header: protocol.Header) -> Iterator[protocol.Message | None]:
        """What each step finds."""
        for step in header.get("steps", ()):  # none to be warmed up
            if step == "hang":
                time.sleep(3600)
            elif step == "die":
                os._exit(7)
            elif step == "refuse":
                raise protocol.Refused("invalid_audio", "this is not audio", "file")
            elif step == "print":
                print("a library's chatter")
            elif step == "garbage":
                os.write(ANSWERS, b"\xff" * 64)
            elif step == "count":
                step = str(self.sessions)
            yield protocol.Message({"kind": "word", "text": step, "name": header.get("name")}, step.encode())
            yield None


if __name__ == "__main__":
    ANSWERS = keep_pipe_for_ourselves()
    confine("speech", json.loads(sys.argv[1]).get("data_limit_mb") if sys.argv[1:] else None)
    questions: "queue.SimpleQueue[protocol.Message]" = queue.SimpleQueue()
    threading.Thread(target=read_questions, args=(questions,), daemon=True).start()
    serve(FakeEngine().open, questions, ANSWERS)
