"""What a worker does: the job of a task or one part of it, the join of parts, and what nobody else looks after."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ...errors import BrokerUnavailable, ClientGone, ServiceError
from ...memory import Throttle
from ...speech.transcription import Segment, TranscriptionRequest
from ..files import read_segments, segment_line
from ..job import (
    FAILED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TRANSCRIBE,
    Job,
    is_part,
    part_ids,
    process_name,
    whole_id,
)
from ..runner import Attempt, Runner
from ..webhooks import Webhooks
from .queue import VISIBILITY_SECONDS, CeleryQueue
from .store import BEAT_SECONDS, LEASE_SECONDS, RedisStore

log = logging.getLogger(__name__)

TOLD_SECONDS = 2.0  # from one progress that Celery is told to the next
SWEEP_SECONDS = 2.0
LOOK_SECONDS = 15.0  # from one look after jobs to the next, by whichever worker
LEAST_BYTES_A_SECOND = 500  # of a recording; AMR at its lowest rate, 4.75 kbit/s, has 594


class NotNow(Exception):
    """The message comes back in so many *seconds*: another worker holds the job, or it is not due yet."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@contextlib.contextmanager
def held(job: Job, store: RedisStore) -> Iterator[threading.Event]:
    """
    The lease on *job* is renewed meanwhile; the event is set once another worker has the job.

    While Redis does not answer, the work goes on; the store accepts no result from a worker that lost the job.
    """
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not ended.wait(BEAT_SECONDS) and not lost.is_set():
            with contextlib.suppress(BrokerUnavailable):
                if not store.renew_lease(job):
                    lost.set()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        ended.set()
        thread.join()


@dataclass
class Performer(Runner):
    """
    One per process of a worker. It does one job at a time, through the same Speech and engines as a web worker.

    *leaving* says whether the process is about to end: the job is then put back for another worker. *pause* waits so
    many seconds.
    """

    store: RedisStore
    queue: CeleryQueue
    leaving: Callable[[], bool]
    pause: Callable[[float], None] = time.sleep

    def claim(self, id: str) -> Job | None:
        """The job *id*, now run by this process; None when there is nothing to do for it. NotNow."""
        for _ in range(3):
            if (claimed := self.store.claim(id, time.time(), process_name())) is not None:
                if claimed.attempt > 1:  # only this attempt writes now
                    self.files.drop_unfinished(id)
                return claimed
            job = self.store.get(id)
            if job is None or job.extra.get("parts"):
                return None
            if job.state == QUEUED:
                raise NotNow(job.due_at - time.time())
            if job.state != RUNNING:
                return None
            if not self.store.is_held(id):
                self.pause(2 * BEAT_SECONDS)  # after Redis itself was away, its holder needs time to renew
            if self.store.is_held(id):
                raise NotNow(LEASE_SECONDS)
            now, lost = time.time(), f"{job.count_failure()} workers were lost while they worked on it"
            if self.retry_or_end(job, ServiceError(lost), now, now):
                log.warning("job=%s attempt=%d lost its worker; another goes on with it", id, job.attempt)
            else:
                self._end_with_part(id)
        raise NotNow(LEASE_SECONDS)

    def perform(self, job: Job, tell: Callable[[Job], None]) -> list[Job]:
        """
        Do *job*, which was claimed; *tell* is called with it now and then.

        If it is long, nothing of it is done: it is divided into parts, which are returned.
        """
        told = Throttle(TOLD_SECONDS)
        with held(job, self.store) as lost:

            def should_continue() -> bool:
                if told():
                    tell(job)
                return not (lost.is_set() or self.leaving())

            if parts := self._divide(job, should_continue):
                return parts
            # Celery waits before it sends the task again.
            Attempt(job, self, should_continue, retry_seconds=lambda failures: 0.0).run()
        self._end_with_part(job.id)
        return []

    def _divide(self, job: Job, should_continue: Callable[[], bool]) -> list[Job]:
        """
        The parts of *job*, queued in the store; none when it is to be run as a whole.

        To find the pauses the recording is decoded once more, which is a fiftieth of the work. It is not done for
        recordings that are too small to be long.
        """
        part_seconds = self.settings.job_part_minutes * 60
        too_small = job.size_bytes < part_seconds * LEAST_BYTES_A_SECOND
        if job.kind != TRANSCRIBE or is_part(job.id) or not part_seconds or too_small:
            return []
        try:
            with self.files.recording(job.id) as path:
                request = TranscriptionRequest(path=path, background=True, **job.params)
                survey = self.speech.survey(request, should_continue)
        except (ServiceError, ClientGone, OSError):
            return []  # run as a whole the job meets the same error, and the runner reports it
        if survey is None or survey.duration_seconds <= part_seconds:
            return []
        clips = survey.cut(part_seconds)
        if len(clips) == 1:
            return []
        # Each part alone might take its few words for another language.
        params = {**job.params, "language": survey.language or job.params.get("language")}
        parts = self.store.split(job, [{**params, "clip": clip} for clip in clips])
        log.info("job=%s is done in %d parts", job.id, len(parts))
        return parts

    def join(self, id: str) -> None:
        """
        End the job *id* with the joined results of its parts, if all of them have succeeded.

        Several workers may do it at the same time: the store accepts one of them.
        """
        job = self.store.get(id)
        if job is None or job.state != RUNNING or not (parts := self._done_parts(job)):
            return
        try:
            with self.files.new_result(id) as output:
                for segment in join_segments(self._segments(part) for part in parts):
                    output.write(segment_line(segment))
                job.result_bytes = output.tell()
        except FileNotFoundError:
            log.info("job=%s was joined by another worker", id)
            return
        job.result, job.seconds_done = {**parts[-1].result}, parts[-1].result["duration"]
        if self._end_divided(job, SUCCEEDED, parts[-1]):
            self.files.drop_recording(id)

    def _segments(self, part: Job) -> Iterator[Segment]:
        with self.files.result(part.id) as lines:
            yield from read_segments(lines)

    def _done_parts(self, job: Job) -> list[Job]:
        """The parts of *job* when all have succeeded; before that, none."""
        parts = self.store.parts(job)
        done = len(parts) == job.extra.get("parts") and all(part.state == SUCCEEDED for part in parts)
        return parts if done else []

    def _end_with_part(self, id: str) -> None:
        """A job fails with the first of its parts that has failed for good."""
        part = self.store.get(id) if is_part(id) else None
        if part is None or part.state != FAILED:
            return
        job = self.store.get(whole_id(id))
        if job is not None and id in part_ids(job) and self._end_divided(job, FAILED, part):
            self.queue.changed(job)

    def _end_divided(self, job: Job, state: str, part: Job) -> bool:
        ended = self.store.finish(replace(job, failures=part.failures), state, time.time(), part.error)
        if ended:
            log.info("job=%s %s in %d parts", job.id, state, job.extra["parts"])
            for id in part_ids(job):
                self.files.remove(id)
        return ended

    def look_after(self, sent_at: float, *, behind: bool) -> None:
        """
        Send the tasks that were swallowed, and remove what has expired.

        This was asked for at *sent_at* by a message that has come: so have all before it that are no longer in the
        broker's queue. *behind*: look at parts, whose messages come behind the others, and at jobs divided into them.
        """
        waiting_since, lost_since = sent_at - VISIBILITY_SECONDS, sent_at - 2 * LEASE_SECONDS
        for job in self.store.overdue(waiting_since, lost_since):
            divided = bool(job.extra.get("parts"))
            if (divided or is_part(job.id)) != behind or (divided and not self._done_parts(job)):
                continue
            log.warning("job=%s waits, and its message is gone; another is sent", job.id)
            self.queue.send(job)
        if not behind:
            for id in self.store.finished_before(time.time() - self.settings.job_ttl_hours * 3600):
                self.files.remove(id)
                self.store.remove(id)


class Sweep(threading.Thread):
    """What a worker's main process does every few seconds: it says that it is there, and has jobs looked after."""

    def __init__(self, store: RedisStore, queue: CeleryQueue, webhooks: Webhooks) -> None:
        super().__init__(name="sweep", daemon=True)
        self._store, self._queue, self._webhooks = store, queue, webhooks
        self._ended = threading.Event()

    def run(self) -> None:
        """Sweep until it is closed."""
        while not self._ended.wait(SWEEP_SECONDS):
            try:
                self.sweep(time.time())
            except BrokerUnavailable as error:
                log.warning("sweep: %s", error.message)
            except Exception:
                log.exception("sweep failed")
        with contextlib.suppress(BrokerUnavailable):
            self._store.forget_worker(process_name())

    def sweep(self, now: float) -> None:
        """Do all of it once. *now* is in seconds since 1970."""
        self._store.note_worker(process_name())
        self._webhooks.wake_if_due(now)
        if self._store.begin_look(LOOK_SECONDS):
            self._queue.look_after(now)

    def cancel(self, id: str) -> None:
        """Cancel the job *id*, or that of this part."""
        if (job := self._store.cancel(whole_id(id), time.time())) is not None:
            log.info("job=%s was revoked", job.id)
            self._queue.changed(job)

    def close(self) -> None:
        """Stop."""
        self._ended.set()
        self.join()
        self._webhooks.close()


def join_segments(parts: Iterable[Iterable[Segment]]) -> Iterator[Segment]:
    """The segments of all *parts*, in order, as those of one recording."""
    for number, segment in enumerate(itertools.chain.from_iterable(parts), 1):
        yield segment._replace(id=number)
