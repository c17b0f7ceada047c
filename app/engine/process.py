"""The owner of one engine process: starts it for the first session, ends it when it is idle."""

import contextlib
import errno
import itertools
import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from .. import memory
from ..config import PROJECT, Settings, without_secrets
from ..errors import (
    ClientGone,
    EngineDied,
    EngineTimeout,
    InsufficientMemory,
    QueueFull,
    ServiceError,
    by_code,
)
from . import Observer, protocol
from .budget import Budget
from .launch import Program
from .protocol import Message
from .queueing import LOOK_UP_SECONDS, Seats, Turns, Wanted, Work

log = logging.getLogger(__name__)

AWAITED_SECONDS = 2.0  # another engine waits so long for room before new sessions stand aside for it
LEAVING_SECONDS = 2.0  # from the end of its input until a process that has not left is killed


class EngineState(NamedTuple):
    """What an engine is doing, for people: "stopped", "idle" or "working"."""

    name: str
    model: str
    state: str
    cost_mb: float
    pid: int | None
    pss_mb: float
    idle_seconds: float | None
    seats: int
    seats_taken: int


class Engine:
    """
    Owns an engine process, from the first session that needs it until it was idle for long enough.

    Threads may share an Engine. ENGINE_SEATS sessions are open at a time, the next is refused; one in the background,
    or live, needs none. One step runs at a time, and the session with the least left to do has the next
    (`queueing.py`), so a short recording is not kept waiting by a long one. A process that makes no progress for
    ENGINE_TIMEOUT_SECONDS is killed; `close()` ends everything.
    """

    def __init__(
        self,
        name: str,
        program: Program,
        budget: Budget,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.program = name, program
        self.observer = Observer()  # who is told of the work
        self._budget, self._clock = budget, clock
        self._timeout, self._idle_after = settings.engine_timeout_seconds, settings.engine_idle_seconds
        self._turns = Turns(clock)
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()  # guards the five below
        self._process: subprocess.Popen[bytes] | None = None
        self._seats = Seats(name, settings.engine_seats, clock)
        self._closed = self._warming = False
        self._begun = 0  # sessions that have a process, or are about to
        self._forgotten: deque[int] = deque()  # sessions whose asker left, still open in the process
        self.starts = 0
        self._waking_since: float | None = None  # from the start of a process to its first answer

    def session(
        self,
        header: protocol.Header,
        *,
        cost_mb: float | None = None,
        patience_seconds: float = 15.0,
        background: bool = False,
        work: Work | None = None,
        wanted: Wanted = lambda: True,
        questions: Iterator[Message] | None = None,
    ) -> Generator[Message, None, None]:
        """
        What the engine finds, as it finds it; closing the iterator early cancels the work.

        A process that must be started first is waited for until other engines leave room for *cost_mb*, at
        most *patience_seconds*. In the *background*, the turns of others come first, and room is not waited
        for: that would keep others from their turn. *work* says how much there is to do, for who has less comes first;
        *wanted* is asked now and then whether anybody still waits for the answer.
        With *questions* it is a live session, which needs no seat: each further step is asked the next of them, which
        is waited for without the turn, and the session ends with them. They are not closed.
        Raises the error an engine's refusal stands for, QueueFull, InsufficientMemory, EngineDied,
        EngineTimeout, ClientGone.
        """
        work = work or Work()
        work.background, work.live = background, questions is not None
        number = next(self._numbers)
        question = Message({**header, "op": "open", "session": number})
        process = None
        asked = self._clock()
        waited: float | None = None
        with self._seated(work):
            try:
                self._stand_aside(patience_seconds, wanted)
                while work.more:
                    with self._turns.taken(work, wanted):
                        if waited is None and (work.steps or work.left is None):  # opening alone is no work
                            waited = self._clock() - asked
                        if process is None:
                            self._begin(work)
                            patience = 0.0 if background else patience_seconds
                            self._make_room(cost_mb or self.program.cost_mb, patience, wanted)
                            process = self._running()
                        messages, work.more = self._step(process, question, wanted)
                    yield from messages
                    given = next(questions, None) if work.more and questions is not None else Message({})
                    if given is None:
                        return
                    question = given._replace(header={**given.header, "op": "next", "session": number})
            except QueueFull:
                self.observer.note("engine_refusals_total", 1, self.name, "queue_full")
                raise
            finally:
                if process is not None and work.more:  # whatever ended it, the process is told
                    self._forgotten.append(number)
                waited = self._clock() - asked if waited is None else waited
                self.observer.note("engine_wait_seconds", waited, self.name)

    def warm(self) -> None:
        """
        Have the process started, and its model loaded, by the time somebody asks; returns at once.

        Nothing happens where there is a process, where others leave no room for one, or where the engine is closed.
        """
        with self._changed:
            if self._process is not None or self._warming or self._closed:
                return
            self._warming = True
        try:
            threading.Thread(target=self._warm_up, name=f"{self.name}-warm", daemon=True).start()
        except RuntimeError:  # no thread is left: who asks starts it
            self._warming = False

    def _warm_up(self) -> None:
        work = Work(background=True)
        question = Message({"op": "open", "session": next(self._numbers), "task": protocol.WARM})
        try:
            with self._seated(work), self._turns.taken(work, lambda: True):
                self._begin(work)
                self._budget.admit(self, self.program.cost_mb)
                self._step(self._running(), question, lambda: True)
        except ServiceError as error:
            log.info("engine=%s not warmed: %s", self.name, error.code)
        finally:
            self._warming = False

    def _stand_aside(self, patience_seconds: float, wanted: Wanted) -> None:
        """
        Wait, where another engine waits for the room that this one's process takes, until it has had some of it.

        Else who asks for this one all the time would keep others from theirs: a session that has not begun needs no
        process yet. At most *patience_seconds*.
        """
        deadline = self._clock() + patience_seconds
        while self._process is not None and self._budget.is_awaited(self, self._clock() - AWAITED_SECONDS):
            if self._clock() >= deadline:
                return
            if not wanted():
                raise ClientGone
            time.sleep(LOOK_UP_SECONDS)

    @contextlib.contextmanager
    def _seated(self, work: Work) -> Iterator[None]:
        """The block is a session, with a seat unless it is in the background or live; QueueFull, EngineDied."""
        seatless = work.background or work.live
        with self._changed:
            if self._closed:
                raise EngineDied(f"the {self.name} engine is shutting down")
            try:
                self._seats.take(background=seatless)
            except QueueFull:
                self.observer.note("engine_refusals_total", 1, self.name, "queue_full")
                raise
            self.observer.note("engine_sessions", self._seats.taken, self.name)
        try:
            yield
        finally:
            self._turns.leave(work)
            with self._changed:
                self._begun -= work.begun
                self._seats.leave(0.0 if work.more else work.worked_seconds, background=seatless)
                self.observer.note("engine_sessions", self._seats.taken, self.name)
                self._changed.notify_all()

    def _begin(self, work: Work) -> None:
        """One more session uses the process, or will in a moment: it is not ended from now on."""
        if (process := self._process) is not None and process.poll() is not None:
            self._discard(process)  # before room is asked for: its own is given back with it
        with self._changed:
            self._begun += 1
        work.begun = True

    def _make_room(self, cost_mb: float, patience_seconds: float, wanted: Wanted) -> None:
        """Have *cost_mb* granted, waiting for other engines' sessions to end; only with the turn taken."""
        deadline = self._clock() + patience_seconds
        try:
            while True:
                try:
                    return self._budget.admit(self, cost_mb)
                except InsufficientMemory:
                    if self._clock() >= deadline or cost_mb > self._budget.max_single_mb():
                        self.observer.note("engine_refusals_total", 1, self.name, "insufficient_memory")
                        raise
                self._budget.waiting.setdefault(self, self._clock())
                if not wanted():
                    raise ClientGone
                time.sleep(LOOK_UP_SECONDS)
        finally:
            self._budget.waiting.pop(self, None)

    def _running(self) -> subprocess.Popen[bytes]:
        """The process, started when there is none, or EngineDied; only with the turn taken and its cost granted."""
        with self._changed:
            if self._process is None:
                try:
                    self._process = self._start()
                except OSError as problem:  # no memory, descriptors, processes or threads are left
                    self._budget.release(self)
                    raise EngineDied(f"the {self.name} engine can't be started: {problem.strerror}") from None
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        """A new process and the thread that watches it; OSError."""
        process = subprocess.Popen(  # noqa: S603 (our own command)
            self.program.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # a terminal's Ctrl-C is not for it, not even before it can say so
            cwd=PROJECT,
            env={**without_secrets(os.environ), **self.program.environment},
        )
        try:
            threading.Thread(
                target=self._watch, args=(process,), name=f"{self.name}-idle", daemon=True
            ).start()
        except RuntimeError as problem:
            self._end(process)
            raise OSError(errno.EAGAIN, str(problem)) from None
        self.starts += 1
        self._waking_since = self._clock()
        self.observer.note("engine_starts_total", 1, self.name)
        self._forgotten.clear()
        log.info("engine=%s pid=%d started", self.name, process.pid)
        return process

    def _step(
        self, process: subprocess.Popen[bytes], question: Message, wanted: Wanted
    ) -> tuple[list[Message], bool]:
        """Ask *question*; what it found and whether the session has more steps."""
        step = next(self._numbers)
        found: list[Message] = []
        try:
            if self._process is not process:
                raise EOFError  # it ended in another session's step, and this session with it
            while self._forgotten:
                self._send(process, {"op": "close", "session": self._forgotten.popleft(), "step": 0})
            self._send(process, {**question.header, "step": step}, question.payload)
            while True:
                message = self._next_message(process, wanted)
                if self._waking_since is not None:
                    seconds = self._clock() - self._waking_since
                    self.observer.note("engine_cold_start_seconds", seconds, self.name)
                    self._waking_since = None
                header = message.header
                if header["step"] != step:
                    continue  # the rest of an answer whose asker left
                if "state" not in header:
                    found.append(message)
                elif header["state"] == "failed":
                    raise by_code(header["code"], header["message"], header["param"])
                else:
                    return found, header["state"] == "more"
        except (OSError, EOFError, protocol.Garbled):
            raise EngineDied(
                f"the {self.name} engine ended while it worked ({self._discard(process)}); "
                "the next request gets a new one"
            ) from None

    def _send(self, process: subprocess.Popen[bytes], header: protocol.Header, payload: bytes = b"") -> None:
        """Write one message; EngineTimeout when it is not read."""
        pipe = _descriptor(process.stdin)
        deadline = self._clock() + self._timeout

        def before_write() -> None:
            while not select.select([], [pipe], [], LOOK_UP_SECONDS)[1]:
                self._check_progress(process, deadline)

        protocol.send(pipe, header, payload, before_write)

    def _next_message(self, process: subprocess.Popen[bytes], wanted: Wanted) -> Message:
        """One message; ClientGone only between messages, EngineTimeout when none comes for too long."""
        pipe = _descriptor(process.stdout)
        deadline = self._clock() + self._timeout
        between = True

        def before_read() -> None:
            nonlocal between
            while not select.select([pipe], [], [], LOOK_UP_SECONDS)[0]:
                self._check_progress(process, deadline)
                if between and not wanted():
                    raise ClientGone
            between = False

        return protocol.receive(pipe, before_read)

    def _check_progress(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        """End *process* past the *deadline*, with EngineTimeout."""
        if self._clock() >= deadline:
            process.kill()
            self._discard(process, timeout=True)
            raise EngineTimeout(
                f"the {self.name} engine made no progress for {self._timeout:g} s and was ended"
            )

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """End *process* when it was idle for long enough; the one thread that waits for a time."""
        while True:
            with self._changed:
                if self._process is not process:
                    return
                wait = None
                if not self._seats.open_sessions:
                    wait = max(0.0, self._idle_after - self._seats.idle_seconds())
                if wait != 0:
                    self._changed.wait(wait)
            if self.stop_if_idle():
                memory.give_back()  # what its sessions left in this process's heap

    def stop_if_idle(self) -> bool:
        """End the process when no session used it for ENGINE_IDLE_SECONDS; whether it did."""
        with self._changed:
            idle = -1.0 if self._seats.open_sessions else self._seats.idle_seconds()
        return idle >= self._idle_after and self.stop_if_unused("idle")

    def stop_if_unused(self, reason: str = "evicted") -> bool:
        """End the process unless a session has begun; whether there was one to end."""
        with self._changed:
            if self._begun or self._process is None:
                return False
            process = self._process
            self._process = None
            self._changed.notify_all()
        self._end(process)
        self.observer.note("engine_exits_total", 1, self.name, reason)
        return True

    def _discard(self, process: subprocess.Popen[bytes], *, timeout: bool = False) -> str:
        """Forget a process that failed; how it ended, in words."""
        with self._changed:
            first = self._process is process
            if first:
                self._process = None
            self._changed.notify_all()
        self._end(process)
        code = process.returncode
        how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        if first:
            killed = "killed" if code == -signal.SIGKILL else "died"
            reason = "timeout" if timeout else "closed" if self._closed else killed
            self.observer.note("engine_exits_total", 1, self.name, reason)
            why = f"no progress for {self._timeout:g} s, so it was ended" if timeout else how
            log.warning("engine=%s pid=%d ended: %s", self.name, process.pid, why)
        return f"{how}, probably because memory ran out" if code == -signal.SIGKILL else how

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Close its input, which it takes as the word to leave; kill it when it stays."""
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with self._changed:
            if self._process is None:  # else what was granted is its successor's
                self._budget.release(self)

    def close(self) -> None:
        """End the process, whatever it is doing; open sessions get EngineDied."""
        with self._changed:
            self._closed = True
        if not self.stop_if_unused("closed"):
            with self._changed:
                if self._process is not None:
                    self._process.kill()  # the session that reads from it takes note and clears up

    @property
    def last_used(self) -> float:
        """When its last session ended, by its clock."""
        return self._seats.last_used

    @property
    def is_running(self) -> bool:
        """Whether it has a process."""
        return self._process is not None

    def measured_mb(self) -> float:
        """PSS of the process in MB, 0 without one."""
        process = self._process
        try:
            return memory.footprint(process.pid).pss_mb if process else 0.0
        except ProcessLookupError:
            return 0.0

    def state(self) -> EngineState:
        """What it is doing now; wakes nothing."""
        pss_mb = self.measured_mb()
        with self._changed:
            working = self._seats.open_sessions > 0
            name = "stopped" if self._process is None else "working" if working else "idle"
            return EngineState(
                name=self.name,
                model=self.program.model,
                state=name,
                cost_mb=self.program.cost_mb,
                pid=self._process.pid if self._process else None,
                pss_mb=pss_mb,
                idle_seconds=self._seats.idle_seconds() if name == "idle" else None,
                seats=self._seats.limit,
                seats_taken=self._seats.taken,
            )


def _descriptor(pipe: object) -> int:
    """The number of a pipe; OSError when it was closed under us."""
    try:
        return pipe.fileno()  # type: ignore[attr-defined, no-any-return]
    except ValueError:
        raise BrokenPipeError from None
