"""The service as its users meet it: the real server, the real model, real recordings."""

import base64
import contextlib
import fcntl
import io
import os
import signal
import subprocess
import sys
import termios
import wave
from pathlib import Path

import pytest

from app.synthesizers import SYNTHESIZERS

from .likeness import understood
from .processes import has_ended, until
from .recordings import (
    AUSTEN,
    AUSTEN_SHORT,
    CONTAINERS,
    NOT_RECORDINGS,
    hours_of_silence,
    noise,
    recorded_as,
    silence,
)
from .server import Server, form

VOICE = "/api/v1/pam/voice"


def engine_roles(server):
    processes = server.get("/api/memory").json["service"]["processes"]
    return {process["role"] for process in processes} - {"master", "web"}


def open_files(server):
    """The nameless files on disk that the service holds open: uploads that are still there."""
    found = []
    log = os.fstat(server.output.fileno()).st_ino
    for process in server.get("/api/memory").json["service"]["processes"]:
        numbers: list[str] = []
        folder = f"/proc/{process['pid']}/fd"
        with contextlib.suppress(FileNotFoundError):  # an engine that has ended meanwhile holds nothing
            numbers = os.listdir(folder)
        for number in numbers:
            with contextlib.suppress(OSError):
                if os.stat(f"{folder}/{number}").st_ino != log:
                    found.append(os.readlink(f"{folder}/{number}"))
    return [name for name in found if "(deleted)" in name and not name.startswith("/dev/shm/wgunicorn")]


def test_the_index_says_what_this_is(server):
    index = server.get("/").json
    assert index["name"] == "pam-voice"
    assert index["status"] == "healthy"
    assert index["memory_optimization"]["optimizer"] == "disabled"
    assert index["memory_optimization"]["local_whisper"] == "enabled"
    assert {"/health", "/api/memory", f"{VOICE}/transcribe", f"{VOICE}/speak"} <= set(index["links"].values())


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_health_is_answered_and_wakes_nothing(server, path):
    until(lambda: not engine_roles(server), "engines are idle and gone")
    assert server.get(path).status == 200
    assert not engine_roles(server)


def test_health_has_an_entry_for_each_thing_needed(server):
    report = server.get("/health").json
    assert report["status"] == "healthy"
    assert {"transcription", "synthesis", "uploads"} <= set(report["checks"])
    assert report["uptime_seconds"] > 0


@pytest.mark.parametrize("path", ["/api/memory", "/memory"])
def test_memory_tells_of_every_process(server, path):
    sizes = server.get(path).json
    assert {"total_mb", "used_mb", "available_mb", "percent"} == set(sizes["system"])
    assert {"rss_mb", "pss_mb", "uss_mb", "percent"} == set(sizes["process"])
    roles = [process["role"] for process in sizes["service"]["processes"]]
    assert roles[0] == "master"
    assert "web" in roles
    total = sum(process["pss_mb"] for process in sizes["service"]["processes"])
    assert sizes["service"]["pss_mb"] == pytest.approx(total, abs=0.5)
    assert sizes["gc"]["frozen"] > 0
    assert {engine["name"] for engine in sizes["budget"]["engines"]} >= {"whisper", "speech"}


@pytest.mark.parametrize("path", ["/api/memory/optimize", "/memory/optimize"])
def test_optimize_collects_and_reports(server, path):
    report = server.post(path).json
    assert report["objects_collected"] >= 0
    assert {"message", "before_mb", "after_mb", "freed_mb"} <= set(report)


def test_optimize_with_unload_ends_idle_engines():
    with Server(ENGINE_IDLE_SECONDS="600") as server:
        server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        assert engine_roles(server) == {"whisper"}
        server.post("/api/memory/optimize")
        assert engine_roles(server) == {"whisper"}
        freed = server.post("/api/memory/optimize", {"unload": True}).json
        assert freed["engines_unloaded"] == 1
        assert freed["freed_mb"] > 50
        assert engine_roles(server) == set()
        refused = server.post("/api/memory/optimize", {"unload": "perhaps"})
        assert (refused.status, refused.error["param"]) == (400, "unload")


def test_a_recording_becomes_its_text(server):
    answer = server.upload(f"{VOICE}/transcribe", AUSTEN.path.read_bytes())
    assert answer.status == 200
    found = answer.json
    assert understood(found["text"], AUSTEN.text)
    assert found["duration"] == pytest.approx(AUSTEN.seconds, abs=0.1)
    assert (found["language"], found["model"]) == ("en", "tiny.en")
    assert found["segments"][0]["start"] < found["segments"][-1]["end"] <= AUSTEN.seconds + 0.5
    assert " ".join(segment["text"] for segment in found["segments"]) == found["text"]
    assert "transcribe;dur=" in answer.headers["Server-Timing"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_that_browsers_and_phones_record_is_understood(server, container):
    found = server.upload(f"{VOICE}/transcribe", recorded_as(container), field="file").json
    assert understood(found["text"], AUSTEN_SHORT.text)
    assert found["duration"] == pytest.approx(AUSTEN_SHORT.seconds, abs=0.25)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "audio/flac"}, {"Content-Type": "application/octet-stream"}]
)
def test_a_raw_body_is_a_recording_too(server, headers, chunked):
    sent = AUSTEN_SHORT.path.read_bytes()
    body = iter([sent[:1000], sent[1000:]]) if chunked else sent
    answer = server.request("POST", f"{VOICE}/transcribe", body, headers)
    assert understood(answer.json["text"], AUSTEN_SHORT.text)


def test_a_file_without_a_name_is_a_file(server):
    body, content_type = form(AUSTEN.path.read_bytes(), field="file", name=None, language="en")
    answer = server.post(f"{VOICE}/transcribe", body, **{"Content-Type": content_type})
    assert understood(answer.json["text"], AUSTEN.text)


def test_the_front_door_transcribes_a_form_and_speaks_json(server):
    heard = server.upload(VOICE, AUSTEN_SHORT.path.read_bytes())
    assert understood(heard.json["text"], AUSTEN_SHORT.text)
    until(
        lambda: "tiny.en (encoder: " in server.get("/health").json["checks"]["transcription"]["detail"],
        "health names what computes the encoder",
    )
    said = server.post(VOICE, {"text": "Good morning.", "engine": "espeak", "format": "wav"})
    assert said.headers["X-TTS-Engine"] == "espeak"


def test_what_is_spoken_can_be_heard(server):
    said = "The quick brown fox jumps over the lazy dog."
    spoken = server.post(f"{VOICE}/speak", {"text": said, "format": "wav", "engine": "neural"})
    assert (spoken.status, spoken.headers["Content-Type"]) == (200, "audio/wav")
    heard = server.upload(f"{VOICE}/transcribe", spoken.body)
    assert understood(heard.json["text"], said)


def test_the_test_sentence_is_audio_or_a_report(server):
    for method in ("GET", "POST"):
        audio = server.request(method, f"{VOICE}/test")
        assert audio.status == 200
        assert audio.headers["X-TTS-Engine"] in SYNTHESIZERS
        with wave.open(io.BytesIO(audio.body)) as file:
            seconds = file.getnframes() / file.getframerate()
        assert float(audio.headers["X-Audio-Duration"]) == pytest.approx(seconds, abs=0.05)
    report = server.get(f"{VOICE}/test", Accept="application/json").json
    outcomes = {outcome["engine"]: outcome for outcome in report["engines"]}
    assert set(outcomes) == SYNTHESIZERS.keys() - {"kokoro"}, "which has to be fetched"
    assert outcomes["espeak"]["ok"]
    assert all("seconds" in outcome for outcome in outcomes.values())


@pytest.mark.parametrize(
    ("engine", "format"), [("espeak", "wav"), ("espeak", "pcm"), ("neural", "mp3"), ("pico", "pcm")]
)
def test_the_time_of_each_word_comes_with_the_audio(server, engine, format):
    """espeak-ng knows them; what the others say is heard by Whisper."""
    said = "The meeting in the old town starts at 10, and ends before noon."
    answer = server.post(
        f"{VOICE}/speak", {"text": said, "engine": engine, "format": format, "timestamps": "word"}
    )
    assert answer.status == 200
    assert answer.json["engine"] == engine
    assert len(base64.b64decode(answer.json["audio"], validate=True)) > 5000
    words = answer.json["words"]
    assert [word["word"] for word in words] == said.split()
    edges = [edge for word in words for edge in (word["start"], word["end"])]
    assert edges == sorted(edges)
    assert 1 < answer.json["duration"] <= edges[-1] + 1
    assert edges[-1] <= answer.json["duration"] + 0.1
    town = words[said.split().index("town")]
    assert 0.2 < town["start"] / answer.json["duration"] < 0.6


def test_a_job_has_no_times_of_words(server):
    refused = server.request(
        "POST", f"{VOICE}/speak", b'{"text": "Hello.", "timestamps": "word"}',
        {"Content-Type": "application/json", "Prefer": "respond-async"},
    )  # fmt: skip
    assert (refused.status, refused.json["error"]["param"]) == (400, "timestamps")


def test_voices_and_their_engines_are_listed(server):
    voices = server.get(f"{VOICE}/voices").json["voices"]
    assert {voice["engine"] for voice in voices} >= {"neural", "espeak"}
    assert {"id", "name", "language", "engine", "offline", "gender", "quality"} <= set(voices[0])
    condition = server.get(f"{VOICE}/health").json
    assert condition["transcription"]["model"] == "tiny.en"
    assert condition["status"] == "healthy"


@pytest.mark.parametrize("name", NOT_RECORDINGS)
def test_what_is_no_recording_is_refused_and_nothing_is_left(server, name):
    answer = server.upload(f"{VOICE}/transcribe", NOT_RECORDINGS[name](), name=name)
    assert 400 <= answer.status < 500
    assert answer.error["code"] == "invalid_audio"
    assert answer.error["message"]
    until(lambda: open_files(server) == [], "uploads are gone")


@pytest.mark.parametrize("recording", [silence(5), silence(40), noise(5), noise(35, 0.02)])
def test_silence_and_noise_have_no_text(server, recording):
    found = server.upload(f"{VOICE}/transcribe", recording).json
    assert (found["text"], found["segments"]) == ("", [])


def test_an_upload_past_the_limit_is_refused(server):
    answer = server.upload(f"{VOICE}/transcribe", bytes(26 << 20))
    assert (answer.status, answer.error["code"]) == (413, "upload_too_large")
    assert "25 MiB" in answer.error["message"]


def test_a_chunked_upload_past_the_limit_is_refused_without_reading_the_rest(server):
    sent = 0

    def endless():
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 20
            yield bytes(1 << 20)

    with pytest.raises((BrokenPipeError, ConnectionResetError)):  # this client sends all before it listens
        server.request("POST", f"{VOICE}/transcribe", endless())
    assert sent < 200 << 20
    refused = server.request("POST", f"{VOICE}/transcribe", (bytes(1 << 20) for _ in range(30)))
    assert (refused.status, refused.error["code"]) == (413, "upload_too_large")
    until(lambda: open_files(server) == [], "uploads are gone")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("speak", {}, "text"),
        ("speak", {"text": 7}, "text"),
        ("speak", {"text": ""}, "text"),
        ("speak", {"text": "🎉🎉🎉"}, "text"),
        ("speak", {"text": "a" * 100_000}, "text"),
        ("speak", {"text": "Hello.", "speed": -1}, "speed"),
        ("speak", {"text": "Hello.", "speed": "fast"}, "speed"),
        ("speak", {"text": "Hello.", "format": "midi"}, "format"),
        ("speak", {"text": "Hello.", "engine": "parrot"}, "engine"),
        ("speak", {"text": "Hello.", "voice": "nobody"}, "voice"),
        ("speak", {"text": "Hello.", "language": "xx-klingon"}, "language"),
    ],
)
def test_a_bad_field_is_named_with_what_is_accepted(server, path, body, param):
    answer = server.post(f"{VOICE}/{path}", body)
    assert answer.status == 400
    assert answer.error["param"] == param
    assert len(answer.error["message"]) > 15


@pytest.mark.parametrize("body", [b"", b"text", b"[]", b'{"text"', b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_refused(server, body):
    answer = server.post(f"{VOICE}/speak", body, **{"Content-Type": "application/json"})
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("texts", "param"),
    [({"language": "tlh"}, "language"), ({"temperature": "hot"}, "temperature"), ({"beam_size": "99"}, "beam_size"),
     ({"task": "sing"}, "task"), ({"word_timestamps": "perhaps"}, "word_timestamps")],
)  # fmt: skip
def test_a_bad_field_beside_a_recording_is_named(server, texts, param):
    answer = server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes(), **texts)
    assert (answer.status, answer.error["param"]) == (400, param)


def test_the_only_file_of_a_form_is_the_recording_and_refused_when_it_is_none(server):
    answer = server.upload(f"{VOICE}/transcribe", b"abc", field="picture")
    assert (answer.status, answer.error["code"]) == (400, "invalid_audio")


def test_a_form_without_a_recording_is_refused(server):
    body = b'--x\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n--x--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = server.request("POST", f"{VOICE}/transcribe", body, kind)
    assert answer.status == 400
    assert "audio or file" in answer.error["message"]


def test_an_unknown_route_and_a_wrong_method_are_answered_in_the_envelope(server):
    unknown, wrong = server.get("/nowhere"), server.get(f"{VOICE}/speak")
    assert (unknown.status, set(unknown.error)) == (404, {"message", "type", "param", "code"})
    assert wrong.status == 405
    assert "POST" in wrong.headers["Allow"]
    assert "POST" in wrong.error["message"]


def test_every_response_has_a_request_id(server):
    assert server.get("/health").headers["X-Request-ID"] != server.get("/health").headers["X-Request-ID"]
    assert server.get("/nowhere").headers["X-Request-ID"]
    assert server.get("/health", **{"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    assert server.get("/health", **{"X-Request-ID": "<script>"}).headers["X-Request-ID"] != "<script>"


def transcribing(server, recording):
    """A client that has sent *recording* and waits."""
    body, content_type = form(recording)
    curl = subprocess.Popen(
        ["curl", "-s", "-H", f"Content-Type: {content_type}", "--data-binary", "@-",
         f"{server.url}{VOICE}/transcribe"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    curl.stdin.write(body)
    curl.stdin.close()
    curl.stdin = None  # communicate() would flush it
    return curl


def test_a_client_that_goes_away_frees_its_seat():
    with Server(ENGINE_SEATS="1") as server:
        recording = recorded_as("mp3", AUSTEN) * 12
        curl = transcribing(server, recording)

        def taken():
            return server.get("/api/memory").json["budget"]["engines"][0]["seats_taken"]

        until(lambda: taken() == 1, "the recording is being transcribed")
        busy = server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        assert (busy.status, busy.error["code"]) == (503, "queue_full")
        assert int(busy.headers["Retry-After"]) >= 1
        curl.kill()
        curl.communicate()
        until(lambda: taken() == 0, "the seat is free")


def unread(pid):
    """How many bytes wait in a process's standard input, which is a pipe."""
    with open(f"/proc/{pid}/fd/0", "rb", buffering=0) as pipe:
        return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_an_engine_killed_in_mid_work_is_a_clear_error_and_the_next_request_is_answered():
    with Server() as server:
        server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        pid = server.get("/api/memory").json["budget"]["engines"][0]["pid"]
        os.kill(pid, signal.SIGSTOP)  # so that it is killed with a request in it, however fast it is
        threads = [*Path(f"/proc/{pid}/task").glob("*/stat")]
        until(lambda: all(") T " in thread.read_text() for thread in threads), "it has stopped")
        curl = transcribing(server, AUSTEN.path.read_bytes())
        until(lambda: unread(pid), "a request is in it")
        os.kill(pid, signal.SIGKILL)
        answer, _ = curl.communicate()
        assert b'"engine_died"' in answer
        assert server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes()).status == 200


def test_an_engine_that_hangs_is_ended_and_the_next_request_is_answered():
    with Server(ENGINE_TIMEOUT_SECONDS="12") as server:  # to start takes one, or ten where others run, too
        server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        os.kill(server.get("/api/memory").json["budget"]["engines"][0]["pid"], signal.SIGSTOP)
        answer = server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        assert (answer.status, answer.error["code"]) == (503, "engine_timeout")
        assert server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes()).status == 200


def test_a_small_file_that_holds_hours_is_stopped_at_the_limit():
    hours = hours_of_silence(0.5)
    assert len(hours) < 1 << 19
    with Server(MAX_AUDIO_MINUTES="20") as server:
        answer = server.upload(f"{VOICE}/transcribe", hours)
        assert (answer.status, answer.error["code"]) == (413, "audio_too_long")
        assert "20 minutes" in answer.error["message"]


def test_the_server_stops_on_sigterm_and_leaves_no_process():
    with Server() as server:
        server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        pids = [process["pid"] for process in server.get("/api/memory").json["service"]["processes"]]
        assert len(pids) == 3
        assert server.stop() == 0
        until(lambda: all(map(has_ended, pids)), "every process is gone")


def test_engines_leave_when_their_worker_is_killed():
    with Server() as server:
        server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        pids = {p["role"]: p["pid"] for p in server.get("/api/memory").json["service"]["processes"]}
        os.kill(pids["web"], signal.SIGKILL)
        until(lambda: has_ended(pids["whisper"]), "the engine has left")
        until(lambda: server.get("/health/live").status == 200, "a new worker answers")


def test_the_start_up_lines_are_the_old_deployments():
    with Server() as server:
        assert "💡 Memory optimizer disabled - using Python's built-in garbage collection" in server.log
        assert "🎯 Memory-optimized mode active" in server.log
        assert "🚫" not in server.log


def test_without_local_whisper_nothing_is_transcribed_here():
    with Server(DISABLE_LOCAL_WHISPER="true", MODEL_DIR="/nonexistent") as server:
        assert "🚫 Local Whisper disabled via environment variable (memory conservation)" in server.log
        assert server.get("/").json["memory_optimization"]["local_whisper"] == "disabled"
        answer = server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        assert (answer.status, answer.error["code"]) == (503, "local_whisper_disabled")
        assert "OPENAI_BASE_URL" in answer.error["message"]
        assert engine_roles(server) == set()


def test_a_missing_model_is_named_with_its_remedy():
    with Server(MODEL_DIR="/nonexistent") as server:
        answer = server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        assert (answer.status, answer.error["code"]) == (503, "model_missing")
        assert "make run" in answer.error["message"]
        health = server.get("/health").json
        assert health["status"] == "degraded"
        assert "model" in health["checks"]["transcription"]["reason"]


def test_two_workers_share_the_budget():
    with Server(WEB_CONCURRENCY="2", MEMORY_BUDGET_MB="1000") as server:
        assert server.get("/api/memory").json["budget"]["limit_mb"] == 500

        def roles():
            return [process["role"] for process in server.get("/api/memory").json["service"]["processes"]]

        until(lambda: roles().count("web") == 2, "the second has begun")


def test_a_worker_past_the_hard_limit_is_replaced():
    with Server(WORKER_SOFT_LIMIT_MB="1", WORKER_HARD_LIMIT_MB="2") as server:
        first = server.get("/api/memory").json["service"]["processes"][1]["pid"]
        until(
            lambda: server.get("/api/memory").json["service"]["processes"][1]["pid"] != first,
            "another worker answers",
        )
        assert "above WORKER_HARD_LIMIT_MB" in server.log


def test_a_model_too_large_for_the_budget_stops_the_boot_and_names_those_that_fit():
    with (
        pytest.raises(AssertionError, match=r"large-v3.*tiny\.en"),
        Server(WHISPER_MODEL="large-v3", MEMORY_BUDGET_MB="512"),
    ):
        pass


def test_another_server_transcribes_where_local_whisper_is_disabled(server):
    """The other server is this service itself, spoken to in OpenAI's dialect."""
    with Server(
        DISABLE_LOCAL_WHISPER="true", OPENAI_BASE_URL=f"{server.url}/v1", OPENAI_API_KEY="key"
    ) as front:
        found = front.upload(
            f"{VOICE}/transcribe", recorded_as("m4a_phone", AUSTEN), word_timestamps="true"
        ).json
        assert understood(found["text"], AUSTEN.text)
        assert found["duration"] == pytest.approx(AUSTEN.seconds, abs=0.1)
        assert found["model"] == "whisper-1"
        assert found["segments"][0]["words"][0]["start"] < 1
        refused = front.upload(f"{VOICE}/transcribe", b"no recording at all")
        assert (refused.status, refused.error["code"]) == (400, "invalid_request")
        assert engine_roles(front) == set()


def test_a_server_that_does_not_answer_is_named():
    with Server(DISABLE_LOCAL_WHISPER="true", OPENAI_BASE_URL="http://127.0.0.1:9/v1") as front:
        answer = front.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes())
        assert (answer.status, answer.error["code"]) == (503, "upstream_failed")
        assert "OPENAI_BASE_URL" in answer.error["message"]


def test_speech_that_was_made_once_is_kept_and_known_by_its_tag(tmp_path):
    with Server(TTS_ENGINE="espeak", TTS_CACHE_DIR=str(tmp_path)) as server:
        asked = {"text": "Good evening.", "format": "wav"}
        first, second = server.post(f"{VOICE}/speak", asked), server.post(f"{VOICE}/speak", asked)
        assert (first.headers["X-Cache"], second.headers["X-Cache"]) == ("miss", "hit")
        assert second.headers["Content-Length"] == str(len(second.body))
        assert first.body[44:] == second.body[44:]
        body = b'{"text": "Good evening.", "format": "wav"}'
        known = {"Content-Type": "application/json", "If-None-Match": second.headers["ETag"]}
        assert server.request("POST", f"{VOICE}/speak", body, known).status == 304


def test_why_others_did_not_speak_is_told_in_a_header():
    with Server(GTTS_URL="http://127.0.0.1:9/", TTS_CACHE_MB="0") as server:
        spoken = server.post(f"{VOICE}/speak", {"text": "Good evening."})
        assert spoken.headers["X-TTS-Engine"] == "neural"
        assert spoken.headers["X-TTS-Fallback"].startswith("gtts: ")
        spoken = server.post(f"{VOICE}/speak", {"text": "Guten Abend.", "language": "de"})
        assert spoken.headers["X-TTS-Engine"] == "pico"
