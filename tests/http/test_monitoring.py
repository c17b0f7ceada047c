"""Each view against the true numbers of a scripted load, with one worker and with two; and a real Prometheus."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.config import PROJECT

from ..processes import free_port, until
from ..server import Server
from ..test_server import AUSTEN_SHORT, VOICE

LOAD = {"/health/live": 40, "/nowhere/1": 5, "/nowhere/2": 5, "/wp-login.php": 3, "/x/.env": 2}
SPOKEN = {
    "text": "The monitoring counts this sentence and never shows it.",
    "engine": "espeak",
    "format": "wav",
}
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.M)
LABEL = re.compile(r'(\w+)="([^"]*)"')
TOLD = re.compile(r"\b(?:http|speech|engine|service|python|jobs)_[a-z_]+\b")


@pytest.fixture(scope="module", params=[1, 2], ids=["one-worker", "two-workers"])
def watched(request, tmp_path_factory):
    """A server after the scripted load, alone in its cache and with engines that stay."""
    cache = tmp_path_factory.mktemp("cache")
    with Server(
        WEB_CONCURRENCY=str(request.param),
        TTS_CACHE_DIR=str(cache),
        ENGINE_IDLE_SECONDS="600",
        TTS_ENGINE="espeak",
    ) as server:
        server.workers = request.param
        before = scraped(server)
        jobs = [path for path, count in LOAD.items() for _ in range(count)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(server.get, jobs))
        server.spoken = server.post(f"{VOICE}/speak", SPOKEN)
        server.again = server.post(f"{VOICE}/speak", SPOKEN)
        server.heard = server.upload(
            f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes(), name="secret-name.wav"
        )
        server.upload(f"{VOICE}/transcribe", b"no audio at all")
        server.request("POST", f"{VOICE}/speak", b"x" * (2 << 20), {"Content-Type": "application/json"})
        recording = AUSTEN_SHORT.path.read_bytes()
        server.request("POST", f"{VOICE}/transcribe?language=tlh", iter([recording]))  # chunked, and refused
        server.starting = value(before, "http_requests_total", route="/health/live")
        yield server


def scraped(server):
    """{(name, labels): value}"""
    text = server.get("/metrics").body.decode()
    return {
        (name, frozenset(LABEL.findall(labels or ""))): float(number)
        for name, labels, number in SAMPLE.findall(text)
        if not name.startswith("#")
    }


def value(found, name, **labels):
    """The sum of the series that have these labels."""
    wanted = set(labels.items())
    return sum(number for (other, have), number in found.items() if other == name and wanted <= have)


def test_every_request_is_counted_once_by_its_rule(watched):
    found = scraped(watched)
    count = value(found, "http_requests_total", method="GET", route="/health/live", status="200")
    assert count - watched.starting == LOAD["/health/live"]
    unmatched = value(found, "http_requests_total", route="unmatched")
    assert unmatched == 15
    assert value(found, "http_requests_total", route=f"{VOICE}/speak", status="200") == 2
    assert value(found, "http_requests_total", route=f"{VOICE}/speak", status="413") == 1
    assert value(found, "http_requests_total", route=f"{VOICE}/transcribe", status="400") == 2
    assert not [labels for _, labels in found if ("route", "/wp-login.php") in labels]


def test_histograms_have_what_the_counters_have(watched):
    found = scraped(watched)
    timed = value(found, "http_request_duration_seconds_count", route="unmatched")
    assert timed == value(found, "http_requests_total", route="unmatched")
    bounds = value(found, "http_request_duration_seconds_bucket", route="unmatched", le="+Inf")
    assert bounds == timed


def test_bytes_and_audio_seconds_are_true(watched):
    found = scraped(watched)
    sent = value(found, "http_response_body_bytes_total", route=f"{VOICE}/speak")
    assert sent >= len(watched.spoken.body) + len(watched.again.body)
    assert sent < len(watched.spoken.body) + len(watched.again.body) + 1000
    assert value(found, "http_request_body_bytes_total", route=f"{VOICE}/speak") == pytest.approx(
        (2 << 20) + 2 * len(json.dumps(SPOKEN)), abs=1
    )
    uploaded = value(found, "http_request_body_bytes_total", route=f"{VOICE}/transcribe")
    assert uploaded == pytest.approx(2 * AUSTEN_SHORT.path.stat().st_size, abs=500)  # one of them in a form
    spoken = float(watched.again.headers["X-Audio-Duration"])
    assert value(found, "speech_synthesized_audio_seconds_total") == pytest.approx(spoken, abs=0.01)
    heard = watched.heard.json["duration"]
    assert value(found, "speech_transcribed_audio_seconds_total") == pytest.approx(heard, abs=0.01)
    assert value(found, "speech_real_time_factor_ratio_count") == 2
    assert value(found, "speech_cache_requests_total", result="hit") == 1
    assert value(found, "speech_cache_requests_total", result="miss") == 1


def test_engines_are_told(watched):
    found = scraped(watched)
    for engine in ("whisper", "speech"):
        assert 1 <= value(found, "engine_starts_total", engine=engine) <= watched.workers
        assert value(found, "engine_cold_start_seconds_count", engine=engine) >= 1
        assert value(found, "engine_sessions", engine=engine) == 0
    assert value(found, "engine_wait_seconds_count", engine="whisper") == 2
    assert value(found, "service_memory_pss_bytes", role="whisper") > 5e6
    assert value(found, "service_memory_pss_bytes", role="web") > 10e6 * watched.workers
    assert value(found, "service_worker_starts_total") == watched.workers
    assert value(found, "http_requests_in_progress") == 1


def test_every_worker_tells_of_all(watched):
    answers = {}

    def ask():
        found = scraped(watched)
        worker = value(found, "service_start_time_seconds")
        answers.setdefault(worker, set()).add(value(found, "http_requests_total", route="/health/live"))
        return len(answers) == watched.workers

    until(ask, "every worker was asked")
    assert {frozenset(counts) for counts in answers.values()} == {
        frozenset({watched.starting + LOAD["/health/live"]})
    }


def test_performance_agrees_with_the_counters(watched):
    report = watched.get("/api/monitoring/performance?window=1h").json
    found = scraped(watched)
    routes = {(route["method"], route["route"]): route for route in report["routes"]}
    live = routes["GET", "/health/live"]
    assert live["count"] == live["count_total"] == watched.starting + LOAD["/health/live"]
    assert routes["GET", "unmatched"]["count"] == 15
    assert live["rate_per_second"] > 0
    for (method, route), told in routes.items():
        if "/metrics" in route or "/monitoring" in route:
            continue  # asked for meanwhile
        labels = {"method": method, "route": route}
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            low, high = bucket_of(found, share, labels)
            assert low <= told[f"{name}_seconds"] <= high
    assert report["in_flight"] == 1
    assert report["speech"]["transcription"]["count"] == 1
    slowest = [one["seconds"] for one in report["slowest"]]
    assert slowest == sorted(slowest, reverse=True)
    assert f"{VOICE}/transcribe" in {one["route"] for one in report["slowest"]}


def bucket_of(found, share, labels):
    """The bucket the true percentile is in."""
    buckets = sorted(
        (float(dict(have)["le"]), number)
        for (name, have), number in found.items()
        if name == "http_request_duration_seconds_bucket" and set(labels.items()) <= have
    )
    rank, low = share * buckets[-1][1], 0.0
    for bound, below in buckets:
        if below >= rank:
            return low, bound
        low = bound
    raise AssertionError("no bucket")


def test_security_agrees_with_the_load(watched):
    report = watched.get("/api/monitoring/security").json
    totals = {reason: told["total"] for reason, told in report["refusals"].items() if told["total"]}
    assert totals == {"probe": 5, "unknown_path": 10, "invalid_audio": 1, "oversized_body": 1}
    assert {reason: told["window"] for reason, told in report["refusals"].items() if told["window"]} == totals
    assert report["addresses"] == [{"address": "127.0.0.x", "refusals": 17, "at_most_too_high_by": 0}]
    events = [(event["reason"], event["detail"]) for event in report["recent"]]
    assert events.count(("probe", "/wp-login.php")) == 3
    assert events.count(("probe", "/.env")) == 2
    assert events.count(("invalid_audio", "invalid_audio")) == 1
    assert all(event["address"] == "127.0.0.x" and event["request_id"] for event in report["recent"])


def test_production_has_no_errors_and_every_alert_its_threshold(watched):
    report = watched.get("/api/monitoring/production").json
    assert report["errors"]["count_1h"] == 0
    assert report["worker_restarts"] == 0
    assert report["memory"]["by_role"]["whisper"] > 5  # of what engines beside it have too, a share counts
    assert report["cpu"]["seconds_total"] > 0
    alerts = {alert["name"]: alert for alert in report["alerts"]}
    assert set(alerts) == {
        "error_percent", "latency_seconds", "memory_percent", "disk_percent", "engine_restarts",
    }  # fmt: skip
    assert not alerts["error_percent"]["active"]
    assert alerts["memory_percent"]["threshold"] == 90


def test_memory_history_knows_the_engines(watched):
    report = watched.get("/api/memory/history?window=5m").json
    assert any("whisper" not in sample["pss_mb"] for sample in report["samples"])
    last = report["samples"][-1]
    assert {"master", "web", "whisper", "speech"} == set(last["pss_mb"])
    assert last["total_mb"] == pytest.approx(sum(last["pss_mb"].values()), abs=0.2)
    times = [sample["time"] for sample in report["samples"]]
    assert times == sorted(times)


def test_nothing_people_said_or_typed_is_told(watched):
    told = "".join(
        watched.get(path).body.decode()
        for path in (
            "/metrics",
            "/api/monitoring/performance",
            "/api/monitoring/security",
            "/api/memory/history",
        )
    )
    for secret in ("monitoring counts this sentence", "secret-name", watched.heard.json["text"][:20]):
        assert secret not in told
        assert secret not in watched.log


def test_every_request_has_its_line_in_the_log(watched):
    watched.get("/health/live%0AINFO%20forged=1", **{"X-Request-ID": "bad id\tx", "User-Agent": "a\x1b[31m"})
    watched.get("/health/live", **{"X-Request-ID": "find-me-1"})
    line = "request_id=find-me-1 method=GET route=/health/live status=200"
    until(lambda: line in watched.log, "its line, which may come after its answer", said=lambda: watched.log)
    lines = watched.log.splitlines()
    assert "forged" not in watched.log
    assert "\x1b" not in watched.log
    started = [line for line in lines if "engine=whisper" in line and "started" in line]
    assert started
    assert "request_id=-" not in started[0]


@pytest.mark.parametrize("text", ["0s", "2h", "5", "-5m", "5m;", "9999h", "٥m"])
def test_a_window_that_is_none_is_refused_with_what_is_accepted(watched, text):
    answer = watched.get(f"/api/monitoring/performance?window={urllib.parse.quote(text)}")
    assert (answer.status, answer.error["param"]) == (400, "window")
    assert "5m" in answer.error["message"]


def test_the_rules_and_the_dashboard_use_metrics_that_exist(watched):
    families = set(re.findall(r"^# TYPE (\w+)", watched.get("/metrics").body.decode(), re.M))
    series = {name + end for name in families for end in ("", "_bucket", "_sum", "_count")}
    for name in ("alerts.yml", "grafana.json"):
        used = set(TOLD.findall((PROJECT / "docs" / name).read_text()))
        assert used
        assert used - {"jobs_workers"} <= series  # which exists with a broker
    page = (PROJECT / "docs" / "monitoring.md").read_text()
    missing = {family for family in families if f"`{family}" not in page}
    assert missing == set()


def test_a_worker_that_was_killed_takes_no_count_with_it():
    with Server(WEB_CONCURRENCY="2") as server:
        for _ in range(20):
            server.get("/health/live")
        before = value(scraped(server), "http_requests_total", route="/health/live")
        until(lambda: len(web_workers(server)) == 2, "both workers are there")
        for pid in web_workers(server):
            os.kill(pid, signal.SIGKILL)
        until(lambda: restarts(server) == 2, "both workers were replaced")
        found = scraped(server)
        assert value(found, "http_requests_total", route="/health/live") == before
        assert value(found, "http_requests_in_progress") == 1


def web_workers(server):
    processes = server.get("/api/memory").json["service"]["processes"]
    return [process["pid"] for process in processes if process["role"] == "web"]


def restarts(server):
    with contextlib.suppress(OSError, ValueError):
        return server.get("/api/monitoring/production").json["worker_restarts"]


def test_errors_are_remembered_and_alarm():
    with Server(MODEL_DIR="/nonexistent", ALERT_ERROR_PERCENT="10") as server:
        for _ in range(3):
            assert server.upload(f"{VOICE}/transcribe", AUSTEN_SHORT.path.read_bytes()).status == 503
        report = server.get("/api/monitoring/production").json
        assert report["errors"]["count_5m"] == 3
        assert [error["type"] for error in report["errors"]["recent"]] == ["model_missing"] * 3
        assert {error["route"] for error in report["errors"]["recent"]} == {f"{VOICE}/transcribe"}
        alert = next(alert for alert in report["alerts"] if alert["name"] == "error_percent")
        assert alert["active"]
        assert alert["threshold"] == 10


def test_without_monitoring_there_is_no_number_and_a_reason():
    with Server(MONITORING="false", LOG_FORMAT="json") as server:
        answer = server.get("/metrics")
        assert (answer.status, answer.error["code"]) == (404, "not_found")
        assert "MONITORING=true" in answer.error["message"]
        assert server.get("/health").status == 200
        until(lambda: "route=/metrics status=404" in server.log, "its line, which may come after its answer")
        lines = [json.loads(line) for line in server.log.splitlines()]
        assert any("route=/metrics status=404" in line["message"] for line in lines)
        assert any(line["message"] == "🎯 Memory-optimized mode active" for line in lines)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian: prometheus) is not installed")
def test_promtool_finds_nothing_wrong(watched):
    linted = subprocess.run(
        ["promtool", "check", "metrics"], input=watched.get("/metrics").body, capture_output=True
    )
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, b"")
    for kind, name in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        subprocess.run(
            ["promtool", "check", kind, str(PROJECT / "docs" / name)], check=True, capture_output=True
        )


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_a_real_prometheus_scrapes_it(watched, tmp_path):
    configuration = (PROJECT / "docs" / "prometheus.yml").read_text()
    configuration = configuration.replace("127.0.0.1:8000", f"127.0.0.1:{watched.port}").replace("30s", "1s")
    (tmp_path / "prometheus.yml").write_text(configuration)
    shutil.copy(PROJECT / "docs" / "alerts.yml", tmp_path)
    port = free_port()
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{port}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(question):
        query = urllib.parse.urlencode({"query": question})
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=5) as answer,
        ):
            found = json.load(answer)["data"]["result"]
            return float(found[0]["value"][1]) if found else None

    try:
        until(lambda: ask('up{job="pam-voice"}') == 1, "it was scraped")
        live = 'http_requests_total{route="/health/live",status="200"}'
        assert until(lambda: ask(live), "they were counted") >= LOAD["/health/live"]
        assert until(lambda: ask('sum(http_requests_total{route="unmatched"})'), "they were counted") == 15
    finally:
        prometheus.terminate()
        prometheus.wait()
