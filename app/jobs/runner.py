"""Runs one job: the same in the thread of a web worker and in a worker on another machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import (
    AudioLimited,
    ClientGone,
    EngineTimeout,
    InsufficientMemory,
    InsufficientStorage,
    Misconfigured,
    QueueFull,
    ServiceError,
)
from ..memory import Throttle
from ..speech.chain import SpeakRequest
from ..speech.transcription import Transcription, TranscriptionRequest
from .files import Files, segment_line
from .job import FAILED, SUCCEEDED, TRANSCRIBE, Job, Store

if TYPE_CHECKING:
    from ..access.limits import Allowance
    from ..config import Settings
    from ..speech.audio import SynthesisResult
    from ..speech.service import Speech

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0  # how often progress is saved, and a cancelled job noticed
ROOM_SECONDS = 5.0  # until a job that found no room is tried again
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 2.0, 300.0  # after a failure, doubled with each


def backoff(failures: int) -> float:
    """The seconds from the n-th failure to the next try: 2, 4, 8 ..."""
    return float(min(FIRST_RETRY_SECONDS * 2 ** (failures - 1), LONGEST_RETRY_SECONDS))


@dataclass(eq=False, repr=False)
class Runner:
    """Whoever does jobs, with what attempts are made with; *allowance* is charged as the work goes on."""

    store: Store
    files: Files
    speech: Speech
    settings: Settings
    allowance: Allowance

    def retry_or_end(self, job: Job, error: ServiceError, now: float, due_at: float) -> bool:
        """
        Have *job*, of which an attempt has failed or lost its process, done again from *due_at* on; or end it with
        *error*, where no attempt could do better, and after JOB_ATTEMPTS failures in a row (`Job.count_failure`).
        Returns whether it is done again; False, too, where another attempt has begun meanwhile.
        """
        hopeless = isinstance(error, Misconfigured) or error.status < 500
        if hopeless or job.failures >= self.settings.job_attempts:
            self.end(job, FAILED, now, error)
            return False
        return self.store.put_back(job, due_at)

    def end(self, job: Job, state: str, now: float, error: ServiceError | None = None) -> bool:
        """End *job*, which was claimed, in *state*; False when its attempt is over."""
        said = None if error is None else {"message": error.message, "code": error.code, "param": error.param}
        ended = self.store.finish(job, state, now, said)
        if ended:
            log.info("job=%s %s attempt=%d%s", job.id, state, job.attempt, f" {error.code}" if error else "")
            if state == FAILED:
                self.files.drop_unfinished(job.id)
        return ended


@dataclass
class Attempt:
    """
    One attempt at *job*, which *runner* has claimed: after `run` it has ended, or is queued again for another one.

    After its n-th failure it waits *retry_seconds* of n. *is_running* is called now and then; once it says that this
    process is about to end, the job is put back.
    """

    job: Job
    runner: Runner
    is_running: Callable[[], bool] = lambda: True
    retry_seconds: Callable[[int], float] = backoff
    clock: Callable[[], float] = time.time

    def run(self) -> None:
        """Do the work, and note what came of it."""
        job, store, files = self.job, self.runner.store, self.runner.files
        self._due = Throttle(PROGRESS_SECONDS, self.clock)
        self._deadline = self.clock() + self.runner.settings.job_time_limit_minutes * 60
        self._still_ours = True
        self._seconds_seen = job.seconds_done
        try:
            recording = files.recording(job.id) if job.kind == TRANSCRIBE else nullcontext("")
            with recording as path, files.new_result(job.id) as output:
                if job.resume and not self.runner.speech.resumes(job.resume["model"]):
                    job.resume, job.text, job.seconds_done = {}, "", 0.0
                    self._still_ours = store.progress(job)
                for line in store.segments(job.id) if job.resume else ():
                    output.write(line)
                self._perform(path, output)
                job.result_bytes = output.tell()
                self._still_ours = store.progress(job)
                if not self._still_ours:
                    raise ClientGone  # so that this result does not replace that of the worker that has the job now
        except ClientGone:
            if not self._still_ours:
                log.info("job=%s stopped: it was cancelled", job.id)
            elif self.clock() < self._deadline:
                store.put_back(job, self.clock())
            else:
                minutes = f"{self.runner.settings.job_time_limit_minutes} minutes (JOB_TIME_LIMIT_MINUTES)"
                self._end(FAILED, EngineTimeout(f"it took more than {minutes}"))
        except ServiceError as error:
            self._failed(error)
        except FileNotFoundError:
            self._end(FAILED, ServiceError("the recording is gone; send it again"))
        except OSError as error:
            self._failed(InsufficientStorage(f"the result could not be written: {error.strerror}"))
        except Exception:
            log.exception("job=%s attempt=%d failed", job.id, job.attempt)
            self._failed(ServiceError("the service failed; the log has the cause under this job's id"))
        else:
            if self._end(SUCCEEDED):
                files.drop_recording(job.id)

    def _keep(self, segments: list[bytes], resume: dict[str, Any]) -> None:
        """Save the lines of the *segments* of the last half minute, and where the next attempt could go on now."""
        if self._still_ours and (segments or self._due()):
            self.job.resume = {**resume, "attempt": self.job.attempt}
            self.job.progress_at = self.clock()
            self._still_ours = self.runner.store.progress(self.job, segments)

    def _should_continue(self) -> bool:
        """Called at every segment and while the work waits."""
        if self.job.seconds_done != self._seconds_seen:
            self.job.progress_at, self._seconds_seen = self.clock(), self.job.seconds_done
        if self._still_ours and self._due():
            self._still_ours = self.runner.store.progress(self.job)
        return self._still_ours and self.is_running() and self.clock() < self._deadline

    def _perform(self, path: str, output: BinaryIO) -> None:
        """Write the result to *output*; ClientGone when it should not go on, AudioLimited without allowance."""
        job, allowance, caller = self.job, self.runner.allowance, self.job.extra["caller"]
        allowance.check(caller)
        if job.kind == TRANSCRIBE:
            request = TranscriptionRequest(
                path=path, background=True, resume=job.resume or None, **job.params
            )
            with closing(self.runner.speech.transcribe(request, self._should_continue)) as transcription:
                self._transcribe(allowance.transcription(caller, transcription), output)
        else:
            wanted = SpeakRequest(**job.params, stream=False, background=True)
            spoken = self.runner.speech.synthesis.speak(wanted, self._should_continue)
            with closing(allowance.spoken(caller, spoken, wanted.text)):
                self._speak(spoken, output)

    def _transcribe(self, transcription: Transcription, output: BinaryIO) -> None:
        job, charge = self.job, transcription.on_progress
        unkept: list[bytes] = []

        def window_ended(seconds_done: float, ended: bool) -> None:
            if transcription.resume is not None and not ended:
                job.seconds_done = seconds_done
                at = {"model": transcription.model, "characters": len(job.text)}
                self._keep(unkept, {**transcription.resume, **at})
                unkept.clear()
            charge(seconds_done, ended)

        transcription.on_progress = window_ended
        for segment in transcription:
            line = segment_line(segment)
            output.write(line)
            unkept.append(line)
            job.text, job.seconds_done = (job.text + segment.text).lstrip(), transcription.seconds_done
            if not self._should_continue():
                raise ClientGone
        job.text, job.seconds_done = job.text.rstrip(), transcription.seconds_done
        job.result = {
            "language": transcription.language,
            "duration": round(transcription.duration_seconds, 2),
            "model": transcription.model,
        }

    def _speak(self, spoken: SynthesisResult, output: BinaryIO) -> None:
        for chunk in spoken.audio:
            output.write(chunk)
        self.job.seconds_done = spoken.duration_seconds or 0.0
        self.job.result = {
            "engine": spoken.engine,
            "voice": spoken.voice,
            "duration": round(self.job.seconds_done, 2),
            "media_type": spoken.media_type,
            **({"skipped": spoken.not_spoken} if spoken.skipped else {}),
        }

    def _failed(self, error: ServiceError) -> None:
        """Put the job back where another try may succeed; end it where none can, or too many have failed."""
        job, now = self.job, self.clock()
        if isinstance(error, QueueFull | InsufficientMemory):  # not a failure of the job
            self.runner.store.put_back(job, now + ROOM_SECONDS)
            return
        # Work that had begun, and of which nothing is kept, would be charged again and reach the limit again.
        if isinstance(error, AudioLimited) and (job.resume or not job.seconds_done):
            self.runner.store.put_back(job, now + (error.retry_after_seconds or 1))
            return
        due_at = now + self.retry_seconds(job.count_failure())
        if self.runner.retry_or_end(job, error, now, due_at):
            log.warning("job=%s failed: %s; it is tried again", job.id, error.code)

    def _end(self, state: str, error: ServiceError | None = None) -> bool:
        return self.runner.end(self.job, state, self.clock(), error)
