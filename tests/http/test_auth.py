"""Who is let in: the real server with keys, limits and routers in front."""

import contextlib
import hashlib
import http.client
import io
import json
import re
import time

import pytest
from openai import AuthenticationError, OpenAI

from app import create_app
from app.config import ConfigError, Settings
from app.http.auth import AUDIO, OPEN, UNCOUNTED

from ..processes import until
from ..recordings import AUSTEN_SHORT
from ..server import Server

VOICE = "/api/v1/pam/voice"
KEY, OTHER = "a-key-for-the-tests-0123456789", "another-key-for-the-tests-0123"
BEARER = {"Authorization": f"Bearer {KEY}"}
UPLOAD = 25 << 20


@pytest.fixture(scope="module")
def guarded():
    """A server in production with two keys, one of them given by its hash."""
    with Server(
        ENVIRONMENT="production",
        API_KEYS=f"{KEY},sha256:{hashlib.sha256(OTHER.encode()).hexdigest()}",
        TTS_ENGINE="espeak",
    ) as server:
        yield server


def rules():
    app = create_app(Settings())
    try:
        return [(rule.rule, rule.methods - {"OPTIONS", "HEAD"}) for rule in app.url_map.iter_rules()]
    finally:
        app.extensions["services"].close()


def test_without_a_key_only_what_is_meant_to_be_open_is(guarded):
    asked = [(re.sub(r"<[^>]*>", "x", rule), method, rule) for rule, methods in rules() for method in methods]
    refused = {(rule, method) for path, method, rule in asked if guarded.request(method, path).status == 401}
    also = {
        f"{prefix}{rule[3:]}" for prefix in ("", "/openai/v1") for rule in OPEN if rule.startswith("/v1/")
    }
    is_open = {(rule, "GET") for rule in OPEN | also}
    assert refused == {(rule, method) for _, method, rule in asked} - is_open
    assert {
        "/", "/dashboard", "/static/<path:filename>", "/health", "/health/live", "/health/ready", "/v1/models",
        "/v1/models/<path:name>", "/v1/audio/models", "/v1/audio/voices", "/docs", "/openapi.json",
    } == OPEN  # fmt: skip


@pytest.mark.parametrize("rule", sorted(OPEN | AUDIO | UNCOUNTED))
def test_the_routes_the_guard_names_exist(rule):
    assert rule in {rule for rule, _ in rules()}


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere", "/HEALTH", "/health/../metrics", "//metrics", "/metrics/", "/health/live/x", "/static/../metrics",
        "/static/%2e%2e/%2e%2e/app/config.py", "/v1/models%2f..%2f..%2fmetrics", "/api/memory;/health", "/%6detrics",
    ],
)  # fmt: skip
def test_no_way_of_writing_a_path_leads_past_the_guard(guarded, path):
    answer = guarded.get(path)
    assert answer.status in (401, 404)
    assert b"http_requests_total" not in answer.body
    assert b"def setting" not in answer.body


def test_unknown_paths_and_methods_say_no_more_than_known_ones(guarded):
    answers = [guarded.get("/nowhere"), guarded.get("/metrics"), guarded.request("DELETE", "/metrics")]
    assert {(answer.status, answer.error["message"]) for answer in answers} == {
        (401, answers[0].error["message"])
    }


def test_a_refusal_is_openais_and_says_how_keys_are_sent(guarded):
    answer = guarded.get("/api/memory")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (answer.error["code"], answer.error["type"]) == ("invalid_api_key", "authentication_error")
    assert "Authorization: Bearer" in answer.error["message"]
    assert "X-API-Key" in answer.error["message"]
    wrong = guarded.get("/api/memory", Authorization="Bearer a-key-that-is-not-one")
    assert (wrong.status, wrong.error["code"]) == (401, "invalid_api_key")
    assert "a-key-that" not in wrong.error["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY}"},
        {"Authorization": f"Bearer {OTHER}"},
        {"X-API-Key": KEY},
        {"X-API-Key": KEY, "Authorization": "Bearer something-of-a-proxy"},
        {"X-API-Key": KEY, "Authorization": "Basic c29tZWJvZHk6cGFzc3dvcmQ="},
    ],
)
def test_a_known_key_lets_in_however_it_is_sent(guarded, headers):
    assert guarded.get("/api/memory", **headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Token {KEY}"},
        {"Authorization": f"Bearer{KEY}"},
        {"Authorization": f"Bearer {KEY},{OTHER}"},
        {"Authorization": "Bearer " + hashlib.sha256(OTHER.encode()).hexdigest()},
        {"Authorization": "Bearer sha256:" + hashlib.sha256(OTHER.encode()).hexdigest()},
        {"Cookie": f"Authorization=Bearer {KEY}"},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": "\xff\xfe"},
    ],
)
def test_nothing_else_does(guarded, headers):
    assert guarded.get("/api/memory", **headers).status == 401


def test_a_key_in_the_address_is_none(guarded):
    assert guarded.get(f"/api/memory?api_key={KEY}").status == 401


def test_openais_client_is_let_in_with_the_key_and_told_without(guarded):
    with OpenAI(base_url=f"{guarded.url}/v1", api_key=KEY, max_retries=0) as client:
        with AUSTEN_SHORT.path.open("rb") as file:
            assert client.audio.transcriptions.create(model="whisper-1", file=file).text
        spoken = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.")
        assert spoken.content
    with OpenAI(base_url=f"{guarded.url}/v1", api_key="not-a-key-of-this-service", max_retries=0) as client:
        assert list(client.models.list())
        with pytest.raises(AuthenticationError, match="not valid"):
            client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.")


def answered_to_its_head(server, headers):
    """The status of an upload of which nothing but the head is ever sent."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=15)) as connection:
        connection.putrequest("POST", f"{VOICE}/transcribe")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


@pytest.mark.parametrize("length", [{"Content-Length": str(UPLOAD)}, {"Transfer-Encoding": "chunked"}])
def test_an_upload_without_a_key_is_refused_before_a_byte_of_it_is_sent(guarded, length):
    assert answered_to_its_head(guarded, length) == 401


def test_a_client_that_sends_all_of_it_all_the_same_sees_the_refusal(guarded):
    answer = guarded.request(
        "POST", f"{VOICE}/transcribe", io.BytesIO(bytes(UPLOAD)), {"Content-Length": str(UPLOAD)}
    )
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


def test_refusals_are_counted_and_told(guarded):
    told = guarded.get("/api/monitoring/security", **BEARER).json["refusals"]["authentication_failed"]
    guarded.get("/metrics")
    guarded.get("/wp-login.php")
    again = guarded.get("/api/monitoring/security", **BEARER).json
    assert again["refusals"]["authentication_failed"]["total"] == told["total"] + 1
    assert again["recent"][0]["detail"] == "/wp-login.php"  # a scanner is one with keys, too


def test_health_of_a_guarded_service_in_production_is_whole(guarded):
    assert "access" not in guarded.get("/health").json["checks"]


def test_an_open_service_in_production_says_so_once_and_in_its_health():
    with Server(ENVIRONMENT="production") as server:
        until(lambda: "access" in server.get("/health").json["checks"], "it was looked at")
        health = server.get("/health")
        assert (health.status, health.json["status"]) == (200, "degraded")
        assert "API_KEYS" in health.json["checks"]["access"]["reason"]
        assert server.get("/health/ready").status == 200
        assert server.get("/api/memory").status == 200
        assert server.log.count("set API_KEYS") == 1


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"api_keys": "sha256:123"}, "API_KEYS: entry 1 is no hash"),
        ({"rate_limit": "often"}, "RATE_LIMIT: 'often' can't be read"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_boot(settings, complaint):
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        create_app(Settings(**settings))


def test_the_server_says_why_it_does_not_start():
    with pytest.raises(AssertionError, match="API_KEYS: entry 2 is empty"), Server(API_KEYS=f"{KEY},"):
        pass


@pytest.fixture(scope="module")
def limited():
    """A server behind one router that lets each address ask three times an hour."""
    with Server(RATE_LIMIT="3/hour", TRUSTED_PROXIES="1") as server:
        yield server


def retries_in_an_hour(refused, began):
    """Whether Retry-After is the rest of an hour that began no earlier than *began*, by the monotonic clock."""
    return 3599 - (time.monotonic() - began) <= int(refused.headers["Retry-After"]) <= 3600


def test_past_its_rate_an_address_is_refused_and_others_are_not(limited):
    began = time.monotonic()
    for remaining in (2, 1, 0):
        answer = limited.get("/v1/models", **{"X-Forwarded-For": "203.0.113.1"})
        assert answer.headers["X-RateLimit-Limit-Requests"] == "3"
        assert answer.headers["X-RateLimit-Remaining-Requests"] == str(remaining)
    refused = limited.get("/v1/models", **{"X-Forwarded-For": "203.0.113.1"})
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert refused.error["type"] == "rate_limit_error"
    assert retries_in_an_hour(refused, began)
    assert limited.get("/v1/models", **{"X-Forwarded-For": "203.0.113.2"}).status == 200


def test_what_a_client_writes_into_the_forwarding_headers_gains_nothing(limited):
    """The router appends the address it saw; all that stands before it is the client's."""
    statuses = [
        limited.get("/v1/models", **{"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.3"}).status
        for number in range(5)
    ]
    assert statuses == [200, 200, 200, 429, 429]


def test_behind_two_routers_the_second_address_from_the_right_counts():
    """Such as Cloudflare and the host's own, of which only the last one tells the scheme."""
    app = create_app(Settings(trusted_proxies=2, rate_limit="1/hour"))
    client = app.test_client()
    try:
        asked = [("192.0.2.1, 203.0.113.1, 104.22.17.40"), ("192.0.2.2, 203.0.113.1, 104.22.17.41")]
        answers = [
            client.get("/v1/models", headers={"X-Forwarded-For": hops, "X-Forwarded-Proto": "https"})
            for hops in asked
        ]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert "Strict-Transport-Security" in answers[0].headers
    finally:
        app.extensions["services"].close()


def test_addresses_of_one_network_of_version_6_are_one_caller(limited):
    statuses = [
        limited.get("/v1/models", **{"X-Forwarded-For": f"2001:db8:7:7::{number:x}"}).status
        for number in range(4)
    ]
    assert statuses == [200, 200, 200, 429]


def test_health_and_pages_are_not_counted(limited):
    for path in sorted(UNCOUNTED - {"/static/<path:filename>"}) * 2:
        assert limited.get(path, **{"X-Forwarded-For": "203.0.113.4"}).status == 200
    assert (
        limited.get("/v1/models", **{"X-Forwarded-For": "203.0.113.4"}).headers[
            "X-RateLimit-Remaining-Requests"
        ]
        == "2"
    )


def test_what_scrapes_and_shows_the_service_uses_up_nothing():
    """The page looks every two seconds while there is work, Prometheus every 15."""
    with Server(RATE_LIMIT="2/hour", API_KEYS=KEY) as server:
        looks = ["/metrics", "/api/status", "/api/status?with=requests&with=history", "/health"] * 3
        answers = [server.get(path, **BEARER) for path in looks]
        assert [answer.status for answer in answers] == [200] * 12
        assert "X-RateLimit-Remaining-Requests" not in answers[0].headers
        assert [server.get(f"{VOICE}/health", **BEARER).status for _ in range(3)] == [200, 200, 429]
        for path in (
            "/api/memory",
            "/api/monitoring/security",
            "/api/monitoring/production",
        ):  # asked why it is 429
            assert server.get(path, **BEARER).status == 200
        assert server.get("/metrics", **BEARER).status == 200
        # A key is not to be guessed there either.
        assert [server.get("/metrics", **{"X-API-Key": f"guess-{n}"}).status for n in range(3)] == [
            401,
            401,
            429,
        ]


def test_monitoring_has_the_address_the_router_saw(limited):
    limited.get("/wp-login.php", **{"X-Forwarded-For": "198.51.100.9, 203.0.113.77"})
    limited.get("/wp-login.php", **{"X-Forwarded-For": "192.0.2.77"})
    found = limited.get("/api/monitoring/security", **{"X-Forwarded-For": "192.0.2.88"}).json
    shown = [address["address"] for address in found["addresses"]]
    assert {"203.0.113.x", "192.0.2.x"} <= set(shown)
    assert "198.51.100.x" not in shown


FORGED = {
    "X-Forwarded-For": "198.51.100.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=198.51.100.1;proto=https;host=evil.example",
    "X-Real-IP": "198.51.100.1",
    "SCRIPT_NAME": "/v1",
    "PATH_INFO": "/health",
    "REMOTE_ADDR": "198.51.100.1",
}


def test_without_a_router_in_front_forged_headers_are_nothing():
    """Not even where FORWARDED_ALLOW_IPS, which gunicorn reads and Heroku sets, would have them believed."""
    with Server(RATE_LIMIT="3/hour", FORWARDED_ALLOW_IPS="*") as server:
        answers = [
            server.get("/v1/models", **{**FORGED, "X-Forwarded-For": f"198.51.100.{number}"})
            for number in range(4)
        ]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert "Strict-Transport-Security" not in answers[0].headers
        page = server.get("/docs", **{**FORGED, "Host": "voice.example"})
        assert page.status == 429  # counted with the rest: it is the same address
    with Server() as server:
        page = server.get("/docs", **{**FORGED, "Host": "voice.example"})
        assert b"voice.example" in page.body
        assert b"evil.example" not in page.body


def test_the_host_is_never_the_forwarded_one(limited):
    page = limited.get("/docs", **{**FORGED, "X-Forwarded-For": "203.0.113.8", "Host": "voice.example"})
    assert b"evil.example" not in page.body
    assert b"https://voice.example" in page.body


def test_https_is_remembered_where_a_router_says_that_it_was_used(limited):
    by_https = limited.get("/health", **{"X-Forwarded-Proto": "https"})
    assert by_https.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in limited.get("/health").headers


def test_guessing_keys_is_limited_too():
    with Server(API_KEYS=KEY, RATE_LIMIT="5/hour") as server:
        guesses = [server.get("/api/memory", **{"X-API-Key": f"guess-number-{n}"}).status for n in range(7)]
        assert guesses == [401] * 5 + [429] * 2
        assert [server.get("/api/memory", **BEARER).status for _ in range(3)] == [
            200
        ] * 3  # counted by its key


def test_audio_past_the_allowance_is_refused_before_it_is_sent(tmp_path):
    with Server(AUDIO_SECONDS_PER_HOUR="5", TTS_ENGINE="espeak", TTS_CACHE_DIR=str(tmp_path)) as server:
        recording, began = AUSTEN_SHORT.path.read_bytes(), time.monotonic()
        assert server.upload(f"{VOICE}/transcribe", recording).status == 200  # 3.3 s
        spoken = server.post(
            f"{VOICE}/speak", {"text": "This is a sentence of more than two seconds, I think."}
        )
        assert spoken.status == 200  # it was not used up when this began
        # What is spoken is charged once it is out. There is no text here to be spoken.
        until(lambda: server.post(f"{VOICE}/speak", {}).status == 429, "what was spoken is charged")
        refused = server.upload("/v1/audio/transcriptions", recording, field="file", model="whisper-1")
        assert (refused.status, refused.error["code"]) == (429, "audio_limit_exceeded")
        assert retries_in_an_hour(refused, began)
        assert answered_to_its_head(server, {"Content-Length": str(UPLOAD)}) == 429
        for path in AUDIO - {f"{VOICE}/jobs"}:
            assert server.post(path, {"text": "Hello."}).status == 429
        assert server.get("/api/memory").status == 200


def test_a_recording_longer_than_the_allowance_is_ended_in_the_midst_of_it():
    from ..recordings import hours_of_silence

    with Server(AUDIO_SECONDS_PER_HOUR="60") as server:
        answer = server.upload(f"{VOICE}/transcribe", hours_of_silence(0.5))
        assert (answer.status, answer.error["code"]) == (429, "audio_limit_exceeded")
        streamed = server.upload(f"{VOICE}/transcribe", hours_of_silence(0.5), stream="true")
        assert streamed.status == 429


def test_answers_tell_browsers_to_make_nothing_of_them(guarded):
    for path in ("/health", "/api/memory", "/nowhere", "/static/docs.css", "/static/nothing"):
        headers = guarded.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Server"] == "pam-voice"


@pytest.mark.parametrize("path", ["/docs", "/dashboard"])
def test_pages_may_load_what_is_beside_them_and_run_nothing_that_is_in_them(guarded, path):
    answer = guarded.get(path)
    policy = dict(
        part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in json.dumps(policy)
    assert "//" not in json.dumps(policy)
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "microphone=(self)" in answer.headers["Permissions-Policy"]


def test_a_refused_origin_is_logged_once_and_those_that_are_let_in_never():
    with Server(CORS_ORIGINS="https://app.example.com") as server:
        here = f"http://127.0.0.1:{server.port}"
        for origin in ("https://other.example", "https://other.example", "https://app.example.com", here):
            server.get("/health", Origin=origin)
        server.get("/v1/models")
        lines = [line for line in server.log.splitlines() if "a refused origin" in line]
        assert len(lines) == 1
        assert "https://other.example" in lines[0]
        assert "CORS_ORIGINS" in lines[0]
        for number in range(100):
            server.get("/health", Origin=f"https://{number}.example")
        assert server.log.count("a refused origin") <= 64


def test_without_cors_a_page_of_another_origin_is_logged():
    with Server() as server:
        server.get("/health", Origin="null")
        assert "a refused origin: null" in server.log
