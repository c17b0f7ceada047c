"""What tests of jobs share: a directory with a store and files, and speech that does as it is told."""

import secrets
import shutil
from dataclasses import dataclass, field

import pytest

from app.access.limits import Allowance, LocalCounters
from app.config import Settings
from app.engine.protocol import Message
from app.files import nameless
from app.jobs.files import LocalFiles
from app.jobs.job import Job
from app.jobs.local_worker import JobWorker
from app.jobs.store_sqlite import open_store
from app.speech.audio import SynthesisResult
from app.speech.transcription import Transcription

SEGMENT = {
    "seek": 0, "tokens": [1], "temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0,
    "no_speech_prob": 0.0, "words": None,
}  # fmt: skip


ANY_AUDIO = Allowance(0, LocalCounters())
NEEDS_REDIS = pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")


@dataclass
class TellingSpeech:
    """Transcribes into the words it was given; an exception among them is raised where it stands."""

    words: list = field(default_factory=lambda: ["one", "two"])
    requests: list = field(default_factory=list)

    @property
    def synthesis(self):
        return self

    def transcribe(self, request, wanted):
        self.requests.append(request)
        return Transcription("telling", self._messages(wanted))

    def resumes(self, model):
        return model == "telling"

    def speak(self, request, wanted):
        self.requests.append(request)
        for word in self.words:
            if isinstance(word, Exception):
                raise word
        audio = [word.encode() for word in self.words]
        return SynthesisResult(
            "espeak", "espeak:en", request.format, (), "tag", iter(audio), lambda: None, duration_seconds=1.5
        )

    def _messages(self, wanted):
        yield Message({"kind": "start", "language": "en", "language_probability": 1.0})
        for number, word in enumerate(self.words):
            if isinstance(word, Exception):
                raise word
            if callable(word):
                word()
                continue
            start = number * 10
            text = {"id": number, "start": start, "end": start + 10, "text": f" {word}"}
            yield Message({"kind": "progress", "seconds": start + 10})
            yield Message({"kind": "segment", **SEGMENT, **text})
        yield Message({"kind": "end", "duration": 10.0 * len(self.words)})


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "data" / "jobs"


@pytest.fixture
def files(directory):
    return LocalFiles(directory)


@pytest.fixture
def sqlite_store(files):
    store = open_store(files.directory)
    yield store
    store.close()


@pytest.fixture
def store(sqlite_store):
    return sqlite_store


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A real one, for tests that do not end it; None where it is not installed."""
    if not shutil.which("redis-server"):
        yield None
        return
    from .fleet.machines import Redis

    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def redis_store(redis_server):
    """A store with nothing in it."""
    from app.jobs.fleet.store import RedisStore
    from app.jobs.fleet.transactions import connect

    from .fleet.machines import patient

    with patient():
        client = connect(redis_server.url)
    client.flushall()
    yield RedisStore(client)
    client.close()


@pytest.fixture
def speech():
    return TellingSpeech()


@pytest.fixture
def thread(store, files, speech, clock):
    """What runs jobs, step by step as the test says; its own thread is not begun."""
    settings = Settings(data_dir=str(files.directory.parent), job_ttl_hours=1, job_attempts=3)
    return JobWorker(store, files, speech, settings, ANY_AUDIO, lambda: True, clock)


@pytest.fixture
def accept(store, files):
    """Makes a job with a recording, and keeps it."""

    def accept(**fields):
        job = Job(
            **{
                "id": secrets.token_hex(16),
                "kind": "transcribe",
                "params": {},
                "size_bytes": 9,
                "extra": {"caller": "ip:203.0.113.5"},
                **fields,
            }
        )
        if job.kind == "transcribe":
            with nameless(files.upload_directory) as recording:
                recording.write(b"recording")
                files.keep_recording(job.id, recording)
        return store.add(job, 1 << 30)

    return accept
