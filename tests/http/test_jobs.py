"""Jobs over HTTP, with the real server and engines."""

import http.client
import json
import threading

import pytest

from app import create_app
from app.config import Settings
from app.services import Services
from app.speech.formats import TRANSCRIPTS

from ..jobs.receiver import Receiver
from ..likeness import understood
from ..processes import until
from ..recordings import AUSTEN, AUSTEN_SHORT, silence
from ..server import Server, form
from .test_openai_audio import long_wav

JOBS = "/api/v1/pam/voice/jobs"
ENDED = ("succeeded", "failed", "cancelled")


@pytest.fixture(scope="module")
def server():
    with Server(TTS_ENGINE="espeak", TTS_CACHE_MB="0", ENGINE_IDLE_SECONDS="30", ENGINE_SEATS="1") as server:
        yield server


def ended(server, location, **headers):
    """The job, once it has ended."""

    def over():
        job = server.get(location, **headers).json
        return job if job["state"] in ENDED else None

    return until(over, "the job ends")


def begun(server, location):
    """Returns once it is no longer queued."""
    until(lambda: server.get(location).json["state"] != "queued", "the job begins")


def submit(server, recording=None, **fields):
    """Where a new job is, of a recording or of *fields* with a text."""
    if recording is None:
        answer = server.post(JOBS, fields)
    else:
        answer = server.upload(JOBS, recording.path.read_bytes(), **fields)
    assert answer.status == 202, answer.body
    return answer.headers["Location"]


def slow(server):
    """Where a job is that takes a few seconds; those made after it wait."""
    answer = server.upload(JOBS, AUSTEN.path.read_bytes(), beam_size="5")
    return answer.headers["Location"]


def endless(server):
    """Where a job is that is at work until it is cancelled."""
    location = server.upload(JOBS, long_wav(600)).headers["Location"]
    begun(server, location)
    return location


def test_a_recording_becomes_a_job_and_then_a_text(server):
    answer = server.upload(JOBS, AUSTEN.path.read_bytes(), name="a.flac")
    assert answer.status == 202
    told = answer.json
    assert answer.headers["Location"] == f"{JOBS}/{told['id']}"
    assert (told["kind"], told["state"], told["position"]) == ("transcribe", "queued", 0)
    assert told["estimated_seconds"] > 0
    job = ended(server, answer.headers["Location"])
    assert job["state"] == "succeeded"
    assert understood(job["text"], AUSTEN.text)
    assert job["progress"]["seconds_done"] == pytest.approx(AUSTEN.seconds, abs=0.1)
    assert job["result"]["text"] == job["text"]
    assert job["result"]["segments"][-1]["end"] == pytest.approx(AUSTEN.seconds, abs=1)
    assert (job["attempts"], job["error"], job["position"]) == (1, None, 0)


def test_it_is_what_would_have_been_answered_at_once(server):
    asked = {"word_timestamps": "true", "prompt": "Mr. Dashwood"}
    at_once = server.upload("/api/v1/pam/voice/transcribe", AUSTEN_SHORT.path.read_bytes(), **asked).json
    location = submit(server, AUSTEN_SHORT, **asked)
    ended(server, location)
    assert server.get(f"{location}/result").json == at_once


@pytest.mark.parametrize(
    ("format", "media_type", "begins"),
    [
        ("json", "application/json", "{"),
        ("text", "text/plain", ""),
        ("srt", "application/x-subrip", "1\n00:00:0"),
        ("vtt", "text/vtt", "WEBVTT"),
    ],
)
def test_the_result_comes_in_every_format(server, format, media_type, begins):
    location = submit(server, AUSTEN_SHORT, format=format)
    ended(server, location)
    for answer in (server.get(f"{location}/result"), server.get(f"{location}/result?format={format}")):
        assert answer.status == 200
        assert answer.headers.get_content_type() == media_type
        assert answer.body.decode().startswith(begins)
    assert server.get(f"{location}/result?format=pdf").error["param"] == "format"


@pytest.mark.parametrize("encoding", ["json", "urlencoded", "multipart"])
def test_a_text_becomes_a_job_and_then_audio(server, encoding):
    if encoding == "json":
        answer = server.post(JOBS, {"text": "Good morning.", "format": "wav"})
    elif encoding == "urlencoded":
        kind = "application/x-www-form-urlencoded"
        answer = server.request("POST", JOBS, "text=Good+morning.&format=wav", {"Content-Type": kind})
    else:
        body, kind = form(b"", field="nothing", text="Good morning.", format="wav")
        answer = server.request("POST", JOBS, body, {"Content-Type": kind})
    assert answer.status == 202, answer.body
    location = answer.headers["Location"]
    job = ended(server, location)
    assert (job["kind"], job["result"]["engine"], job["result"]["media_type"]) == (
        "speak",
        "espeak",
        "audio/wav",
    )
    audio = server.get(f"{location}/result")
    assert audio.headers["Content-Type"] == "audio/wav"
    assert int(audio.headers["Content-Length"]) == len(audio.body) == job["result"]["bytes"]
    assert float(audio.headers["X-Audio-Duration"]) == job["result"]["duration"]
    assert audio.body[:4] == b"RIFF"
    assert job["result"]["duration"] == pytest.approx((len(audio.body) - 44) / 2 / 22_050, abs=0.02)


def test_a_raw_body_is_a_recording(server):
    body = AUSTEN_SHORT.path.read_bytes()
    answer = server.request("POST", f"{JOBS}?format=text", body, {"Content-Type": "audio/flac"})
    location = answer.headers["Location"]
    ended(server, location)
    assert understood(server.get(f"{location}/result").body.decode(), AUSTEN_SHORT.text)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/api/v1/pam/voice/transcribe", {"format": "srt"}),
        ("/api/v1/pam/voice", {"format": "srt"}),
        ("/v1/audio/transcriptions", {"model": "whisper-1", "response_format": "srt"}),
    ],
)
def test_any_transcription_may_be_asked_for_as_a_job(server, path, fields):
    body, kind = form(AUSTEN_SHORT.path.read_bytes(), field="file", **fields)
    answer = server.request("POST", path, body, {"Content-Type": kind, "Prefer": "respond-async, wait=1"})
    assert (answer.status, answer.headers["Preference-Applied"]) == (202, "respond-async")
    location = answer.headers["Location"]
    ended(server, location)
    assert server.get(f"{location}/result").body.startswith(b"1\n00:00:0")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/v1/pam/voice/speak", {"text": "Hello.", "format": "wav"}),
        ("/api/v1/pam/voice", {"text": "Hello.", "format": "wav"}),
        (
            "/v1/audio/speech",
            {"input": "Hello.", "model": "tts-1", "voice": "alloy", "response_format": "wav"},
        ),
    ],
)
def test_any_speech_may_be_asked_for_as_a_job(server, path, asked):
    answer = server.post(path, asked, Prefer="respond-async")
    # `post` sends a dict as JSON only without headers of its own named Content-Type
    assert (answer.status, answer.headers["Preference-Applied"]) == (202, "respond-async")
    location = answer.headers["Location"]
    assert ended(server, location)["state"] == "succeeded"
    assert server.get(f"{location}/result").body.startswith(b"RIFF")


def test_what_can_not_be_done_is_refused_at_once(server):
    assert server.post(JOBS, {"text": "Hello.", "voice": "nobody"}).error["param"] == "voice"
    assert server.post(JOBS, {}).error["param"] == "text"
    assert server.upload(JOBS, b"x", language="klingon").error["param"] == "language"
    assert server.upload(JOBS, b"", name="a").error["code"] == "invalid_audio"
    assert (
        server.post(JOBS, {"text": "Hello.", "webhook_url": "https://example.com"}).error["param"]
        == "webhook_url"
    )
    assert server.request("POST", JOBS, *_swapped(form(b"", field="nothing"))).error["param"] == "file"


def _swapped(body_and_type):
    body, kind = body_and_type
    return body, {"Content-Type": kind}


def test_what_is_no_audio_fails_with_its_reason_and_has_no_result(server):
    answer = server.upload(JOBS, b"this is no audio", name="a.wav")
    job = ended(server, answer.headers["Location"])
    assert (job["state"], job["error"]["code"], job["result"]) == ("failed", "invalid_audio", None)
    assert server.get(f"{answer.headers['Location']}/result").status == 409


def test_the_events_of_a_job_tell_its_text_and_end_with_it(server):
    location = submit(server, AUSTEN)
    stream = server.get(f"{location}/events")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    lines = [line[6:] for line in stream.body.decode().split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    assert events[0]["type"] == "progress"
    assert events[-1] == {"type": "done", "state": "succeeded", "error": None}
    text = "".join(event["delta"] for event in events if event["type"] == "text")
    assert text == server.get(location).json["text"]


def test_a_queued_job_is_cancelled_and_can_be_queued_again(server):
    first, second = endless(server), submit(server, AUSTEN_SHORT)
    assert server.get(second).json["position"] >= 0
    answer = server.request("DELETE", second)
    assert (answer.status, answer.json["state"]) == (200, "cancelled")
    assert server.get(f"{second}/result").status == 409
    assert server.post(f"{second}/requeue").status == 202
    assert server.request("DELETE", first).status == 200
    assert ended(server, second)["state"] == "succeeded"
    assert server.post(f"{second}/requeue").status == 409


def test_a_running_job_is_cancelled_and_the_next_begins(server):
    location = endless(server)
    assert server.request("DELETE", location).json["state"] == "cancelled"
    assert ended(server, submit(server, AUSTEN_SHORT))["state"] == "succeeded"
    assert server.get(location).json["state"] == "cancelled"


def test_a_job_that_has_ended_is_removed_with_its_result(server):
    location = submit(server, text="Hello.")
    ended(server, location)
    assert server.request("DELETE", location).status == 204
    for path in (location, f"{location}/result", f"{location}/events"):
        assert server.get(path).error["code"] == "job_not_found"
    assert server.request("DELETE", location).status == 404


def test_jobs_are_listed_in_pages(server):
    made = [submit(server, text=f"Number {number}.") for number in range(3)]
    for location in made:
        ended(server, location)
    first = server.get(f"{JOBS}?limit=2&state=succeeded").json
    assert [f"{JOBS}/{job['id']}" for job in first["jobs"]] == made[:0:-1]
    assert "text" not in first["jobs"][0]
    second = server.get(f"{JOBS}?limit=2&state=succeeded&before={first['next']}").json
    assert f"{JOBS}/{second['jobs'][0]['id']}" == made[0]
    assert server.get(f"{JOBS}?state=queued").json == {"jobs": [], "next": None}
    assert server.get(f"{JOBS}?before=unknown").status == 404
    assert server.get(f"{JOBS}?limit=1000").error["param"] == "limit"


def test_the_same_key_is_the_same_job_and_another_request_with_it_a_mistake(server):
    body, kind = form(AUSTEN_SHORT.path.read_bytes())
    other, other_kind = form(AUSTEN.path.read_bytes())

    def post(body, kind, key="key-1"):
        return server.request("POST", JOBS, body, {"Content-Type": kind, "Idempotency-Key": key})

    first, again = post(body, kind), post(body, kind)
    assert (first.status, again.status) == (202, 202)
    assert first.json["id"] == again.json["id"]
    assert post(other, other_kind).error["code"] == "conflict"
    assert post(*form(AUSTEN_SHORT.path.read_bytes(), task="translate")).status == 409
    assert post(body, kind, key="key-2").json["id"] != first.json["id"]
    assert post(body, kind, key="k" * 300).error["param"] == "Idempotency-Key"
    ended(server, first.headers["Location"])
    assert post(body, kind).json["state"] == "succeeded"


def test_the_same_key_many_times_at_once_is_one_job(server):
    body, kind = form(AUSTEN_SHORT.path.read_bytes())
    answers, start = [], threading.Barrier(6)

    def post():
        start.wait(10)
        headers = {"Content-Type": kind, "Idempotency-Key": "at-once"}
        answers.append(server.request("POST", JOBS, body, headers))

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [answer.status for answer in answers] == [202] * 6
    assert len({answer.json["id"] for answer in answers}) == 1


def test_a_job_takes_no_seat(server):
    """This server has one."""
    location = slow(server)
    begun(server, location)
    answer = server.upload("/api/v1/pam/voice/transcribe", AUSTEN_SHORT.path.read_bytes())
    assert (answer.status, server.get(location).json["attempts"]) == (200, 1)
    assert ended(server, location)["state"] == "succeeded"


def test_a_webhook_url_needs_a_secret(server):
    refusal = server.post(JOBS, {"text": "Hello.", "webhook_url": "https://example.com/"})
    assert "WEBHOOK_SECRET" in refusal.error["message"]


def test_a_reader_that_leaves_frees_its_place(server):
    """More come and go than may watch at a time."""
    location = slow(server)
    for _ in range(12):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", f"{location}/events")
        response = connection.getresponse()
        assert response.status in (200, 503)
        response.read(10) if response.status == 200 else response.read()
        connection.close()
    ended(server, location)
    until(lambda: server.get(f"{location}/events").status == 200, "the places are free again")


def test_silence_is_an_empty_text(server):
    answer = server.upload(JOBS, silence(3))
    job = ended(server, answer.headers["Location"])
    assert (job["state"], job["text"], job["result"]["segments"]) == ("succeeded", "", [])


def test_the_queue_is_in_the_metrics(server):
    ended(server, submit(server, text="Hello."))
    said = server.get("/metrics").body.decode()
    for name in (
        "jobs_queue_length",
        "jobs_oldest_waiting_seconds",
        'jobs{state="succeeded"}',
        "jobs_stored_bytes",
    ):
        assert f"\n{name} " in said
    assert server.get("/api/monitoring/production").json["jobs"]["succeeded"] > 0


def test_a_job_belongs_to_the_key_that_made_it():
    with Server(API_KEYS="first,second", TTS_ENGINE="espeak") as server:
        own, other = {"Authorization": "Bearer first"}, {"Authorization": "Bearer second"}
        location = server.request(
            "POST", JOBS, json.dumps({"text": "Hello."}), {**own, "Content-Type": "application/json"}
        ).headers["Location"]
        ended(server, location, **own)
        for path in (location, f"{location}/result", f"{location}/events"):
            assert server.get(path, **other).error["code"] == "job_not_found"
            assert server.get(path).status == 401
        assert server.request("DELETE", location, headers=other).status == 404
        assert server.request("POST", f"{location}/requeue", headers=other).status == 404
        assert server.get(JOBS, **other).json["jobs"] == []
        assert len(server.get(JOBS, **own).json["jobs"]) == 1


def test_a_webhook_tells_how_the_job_ended(tmp_path):
    with Receiver(503, 200) as receiver:
        settings = {"WEBHOOK_SECRET": "secret", "WEBHOOK_PRIVATE_ADDRESSES": "true"}
        trusted = receiver.trusted_by(tmp_path / "authority.pem")
        with Server(TTS_ENGINE="espeak", SSL_CERT_FILE=trusted, **settings) as server:
            location = submit(server, AUSTEN_SHORT, webhook_url=f"{receiver.url}/hook")
            text = ended(server, location)["text"]
            until(lambda: server.get(location).json["webhook"]["state"] == "delivered", "it is delivered")
            assert server.get(location).json["webhook"] == {"state": "delivered", "attempts": 2}
    (path, headers, first), (_, _, second) = receiver.got
    told = json.loads(first)
    assert (path, first) == ("/hook", second)
    assert told["type"] == "job.succeeded"
    assert (told["data"]["url"], told["data"]["text"]) == (server.url + location, text)
    assert headers["webhook-signature"].startswith("v1,")


def test_past_the_space_set_aside_jobs_are_refused_until_some_are_removed(tmp_path):
    with Server(TTS_ENGINE="espeak", JOB_DISK_MB="1", DATA_DIR=str(tmp_path)) as server:
        too_much = server.upload(JOBS, bytes(2 << 20))
        assert (too_much.status, too_much.error["code"]) == (507, "insufficient_storage")
        assert "JOB_DISK_MB" in too_much.error["message"]
        for _ in range(8):
            answer = server.upload(JOBS, b"no audio" + bytes(160_000))
            if answer.status == 507:
                break
            location = answer.headers["Location"]
        assert answer.status == 507
        assert server.post(JOBS, {"text": "Hello."}).status == 202
        ended(server, location)
        server.request("DELETE", location)
        assert server.upload(JOBS, b"no audio" + bytes(160_000)).status == 202


def test_a_server_that_is_stopped_puts_its_job_back_and_goes_on_with_it(tmp_path):
    with Server(TTS_ENGINE="espeak", DATA_DIR=str(tmp_path)) as server:
        running = server.upload(JOBS, long_wav(60)).headers["Location"]
        waiting = submit(server, AUSTEN_SHORT)
        begun(server, running)
    with Server(TTS_ENGINE="espeak", DATA_DIR=str(tmp_path)) as server:
        until(lambda: server.get(running).json["state"] in ENDED, "the long job ends", 300)
        assert ended(server, running)["attempts"] == 2
        assert ended(server, waiting)["attempts"] == 1
        assert [ended(server, one)["state"] for one in (running, waiting)] == ["succeeded"] * 2


def test_whatever_a_format_says_of_the_recording_a_job_says_too(tmp_path, monkeypatch):
    said = TRANSCRIPTS["text"]._replace(
        render=lambda segments, done: iter([f"{done.model} {done.language} {done.duration_seconds:.0f}"])
    )
    monkeypatch.setitem(TRANSCRIPTS, "text", said)
    settings = Settings(data_dir=str(tmp_path))
    services = Services.build(settings)
    client = create_app(settings, services).test_client()
    try:
        recording = AUSTEN_SHORT.path.read_bytes()
        at_once = client.post("/api/v1/pam/voice/transcribe?format=text", data=recording)
        location = client.post(f"{JOBS}?format=text", data=recording).headers["Location"]
        until(lambda: client.get(location).json["state"] == "succeeded", "the job is done")
        assert client.get(f"{location}/result").text == at_once.text
        assert at_once.text.split()[1:] == ["en", f"{AUSTEN_SHORT.seconds:.0f}"]
    finally:
        services.close()
