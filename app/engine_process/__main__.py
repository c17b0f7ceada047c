"""`python -m app.engine_process NAME OPTIONS`: one engine, serving its owner over standard input and output."""

import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator

from ..engine import protocol
from .sandbox import confine

log = logging.getLogger("app.engine_process")


# What it finds, and None at the end of a step; given the question of the next one.
Session = Generator[protocol.Message | None, protocol.Message | None, None]
Open = Callable[
    [protocol.Header], Iterator[protocol.Message | None]
]  # an engine's: see the package's docstring


def main(name: str, options: protocol.Header) -> None:
    """Serve until the input closes."""
    logging.basicConfig(level=logging.INFO, format=f"engine={name} %(levelname)s %(message)s")
    answers = keep_pipe_for_ourselves()
    confine(options.get("backend", name), options.get("data_limit_mb"))
    questions: queue.SimpleQueue[protocol.Message] = queue.SimpleQueue()
    threading.Thread(target=read_questions, args=(questions,), daemon=True).start()
    serve(load(name, options), questions, answers)


def load(name: str, options: protocol.Header) -> Open:
    """What opens a session of the engine called *name*; only what that needs is imported."""
    if name == "whisper" and options.get("backend") == "faster-whisper":
        from .stt.library import FasterWhisperEngine

        return FasterWhisperEngine(options).open
    if name == "whisper":
        from .stt.live import LiveEngine

        return LiveEngine(options).open
    if name == "speech":
        from .tts.speech import SpeechEngine

        return SpeechEngine(options).open
    raise SystemExit(f"no engine is called {name!r}")


def keep_pipe_for_ourselves() -> int:
    """Move the answers' pipe off standard output, so that a library that prints cannot break the wire."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def read_questions(questions: "queue.SimpleQueue[protocol.Message]") -> None:
    """Pass questions on; end the process, even in mid-work, when the owner is gone."""
    try:
        while True:
            questions.put(protocol.receive(0))
    except (EOFError, OSError, protocol.Garbled):
        os._exit(0)


def serve(open_session: Open, questions: "queue.SimpleQueue[protocol.Message]", answers: int) -> None:
    """Answer one question after the other; sessions live between them."""
    sessions: dict[int, Session] = {}
    while True:
        question = questions.get()
        header = question.header
        number, step = header["session"], header["step"]
        if header["op"] == "open":
            sessions[number] = begin(open_session, header)
        is_close = header["op"] == "close"
        verdict = {"state": "done"} if is_close else take_step(sessions[number], question, answers)
        if verdict["state"] != "more":
            sessions.pop(number, None)
        protocol.send(answers, {"step": step, **verdict})


def begin(open_session: Open, header: protocol.Header) -> Session:
    """The session *header* opens; what goes wrong in opening it goes wrong in its first step."""
    yield from open_session(header)


def take_step(session: Session, question: protocol.Message, answers: int) -> protocol.Header:
    """Run *session* to the end of its step, sending what it finds; how the step ended."""
    try:
        # The first step's question opened it; a later one's is what its `yield None` gives, for those that listen.
        message = session.send(None if question.header["op"] == "open" else question)
        while message is not None:
            protocol.send(answers, {"step": question.header["step"], **message.header}, message.payload)
            message = next(session)
        return {"state": "more"}
    except StopIteration:
        return {"state": "done"}
    except protocol.Refused as refusal:
        return failed(refusal.code, refusal.message, refusal.param)
    except MemoryError:
        return failed("insufficient_memory", "the engine ran out of the memory it is allowed")
    except Exception:
        log.exception("a step failed")
        return failed("internal_error", "the engine failed; the log has the cause")


def failed(code: str, message: str, param: str | None = None) -> protocol.Header:
    """The end of a step that did not succeed."""
    return {"state": "failed", "code": code, "message": message, "param": param}


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
