"""Wrong settings: the start, `doctor` and `config` say the same sentence, and what starts says where it is."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import cli
from app.config import PROJECT, Settings
from app.engine.budget import MACHINE, granted
from app.startup import settings_or_exit, url, wait_for_port
from app.synthesizers import SYNTHESIZERS

from .processes import free_port, until
from .recordings import AUSTEN_SHORT
from .server import Server

DIGITS, LONG = "9" * 5000, "a" * 300
LONG_KEY = "0123456789abcdef0123456789abcdef"
# What is set, the start of what is said, and what `doctor` says it of. TMP is an empty directory, FILE a file.
WRONG = [
    ("PORT=eighty", "PORT: 'eighty' is not a whole number", "settings"),
    ("PORT=70000", "PORT: '70000' is more than 65535", "settings"),
    ("PORT=-1", "PORT: '-1' is less than 0", "settings"),
    ("HOST=localhost:8000", "HOST: 'localhost:8000' is no address or name", "settings"),
    ("HOST=http://localhost", "HOST: 'http://localhost' is no address or name", "settings"),
    ("HOST=:::", "HOST: ':::' is no address or name", "settings"),
    ("HOST=203.0.113.1", "HOST: '203.0.113.1' can't be listened on", "port"),
    ("HOST=2001:db8::1", "HOST: '2001:db8::1' can't be listened on", "port"),
    ("HOST=nobody.invalid", "HOST: 'nobody.invalid' can't be listened on", "port"),
    ("WEB_CONCURRENCY=0", "WEB_CONCURRENCY: '0' is less than 1", "settings"),
    ("WEB_CONCURRENCY=2.5", "WEB_CONCURRENCY: '2.5' is not a whole number", "settings"),
    ("WEB_THREADS=10", "ENGINE_SEATS: must be less than WEB_THREADS", "settings"),
    ("LOG_LEVEL=loud", "LOG_LEVEL: 'loud' is none of debug, info, warning, error", "settings"),
    ("LOG_FORMAT=xml", "LOG_FORMAT: 'xml' is none of text, json", "settings"),
    ("MONITORING=perhaps", "MONITORING: 'perhaps' is neither true nor false", "settings"),
    ("ALERT_ERROR_PERCENT=nan", "ALERT_ERROR_PERCENT: 'nan' is not a number", "settings"),
    ("ALERT_MEMORY_PERCENT=101", "ALERT_MEMORY_PERCENT: '101' is more than 100", "settings"),
    ("API_KEYS=secret,", "API_KEYS: entry 2 is empty", "access"),
    ("API_KEYS=sha256:123", "API_KEYS: entry 1 is no hash", "access"),
    ("API_KEYS=schlüssel", "API_KEYS: entry 1 has a character that no HTTP header carries", "access"),
    ("RATE_LIMIT=60 a minute", "RATE_LIMIT: '60 a minute' can't be read; write 60/minute", "access"),
    ("RATE_LIMIT=0/minute", "RATE_LIMIT: '0/minute' lets nobody in", "access"),
    ("CORS_ORIGINS=localhost:3000", "CORS_ORIGINS: 'localhost:3000' is no origin such as https://", "settings"),
    ("CORS_ORIGINS=https://a.example.com,b", "CORS_ORIGINS: 'https://a.example.com,b' has 'b', which", "settings"),
    ("CORS_ORIGINS=https://*.example.com", "CORS_ORIGINS: 'https://*.example.com' is no origin", "settings"),
    ("CORS_ORIGINS=https://a.example.com/path", "CORS_ORIGINS: 'https://a.example.com/path' is no origin", "settings"),
    ("CORS_ORIGINS=https://me@a.example.com", "CORS_ORIGINS: 'https://me@a.example.com' is no origin", "settings"),
    ("CORS_ORIGINS=null", "CORS_ORIGINS: 'null' is no origin", "settings"),
    ("CORS_ORIGINS=https://a.example.com,", "CORS_ORIGINS: 'https://a.example.com,' has '', which is no", "settings"),
    ("REDIS_URL=localhost:6379", "REDIS_URL: the value is no redis://, rediss:// or unix://", "settings"),
    ("REDIS_URL=redis://:pa/ss@localhost:6379", "REDIS_URL: the value is no redis://", "settings"),
    ("CELERY_BROKER_URL=reddis://localhost", "CELERY_BROKER_URL: the value is no broker's address", "settings"),
    ("CELERY_BROKER_URL=redis://localhost:port", "CELERY_BROKER_URL: the value is no redis://", "settings"),
    ("CELERY_BROKER_URL=amqp://localhost", "REDIS_URL: must be set, too", "settings"),
    ("JOB_STORAGE_URL=s3:bucket/jobs", "JOB_STORAGE_URL: the value is no storage", "settings"),
    ("JOB_STORAGE_URL=/mnt/jobs", "JOB_STORAGE_URL: the value is no storage", "settings"),
    ("JOB_STORAGE_URL=file://FILE/jobs", "JOB_STORAGE_URL: nothing can be written and read there: ", "job storage"),
    ("JOB_STORAGE_URL=nosuch://bucket/jobs", "JOB_STORAGE_URL: nothing can be written and read", "job storage"),
    ("SENTRY_DSN=sentry.io/42", "SENTRY_DSN: the value must start with http", "settings"),
    ("SENTRY_DSN=https://sentry.io/42", "SENTRY_DSN: the value is no DSN such as", "settings"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' must", "settings"),
    ("MEMORY_BUDGET_MB=9999999", "MEMORY_BUDGET_MB: 9999999 MB is more than the ", "memory"),
    ("MEMORY_BUDGET_MB=half", "MEMORY_BUDGET_MB: 'half' is not a whole number", "settings"),
    ("MEMORY_BUDGET_MB=150", "WHISPER_MODEL: the engine of tiny.en needs 160 MB; the budget is 150 MB (MEM", "budget"),
    (
        "WEB_CONCURRENCY=4 MEMORY_BUDGET_MB=512",
        "WHISPER_MODEL: the engine of tiny.en needs 160 MB; the budget is 512 MB (MEMORY_BUDGET_MB), of which each of "
        "4 workers (WEB_CONCURRENCY) has 128 MB; ",
        "budget",
    ),
    ("MEMORY_BUDGET_MB=60 DISABLE_LOCAL_WHISPER=true", "MEMORY_BUDGET_MB: no engine fits; the budget", "budget"),
    ("MEMORY_RESERVE_MB=1000 MEMORY_BUDGET_MB=1000", "WHISPER_MODEL: the engine of tiny.en needs 160", "budget"),
    ("WHISPER_MODEL=tiny-en", "WHISPER_MODEL: no model is called 'tiny-en'; known are tiny.en, ", "budget"),
    ("WHISPER_MODEL=large-v3 MEMORY_BUDGET_MB=512", "WHISPER_MODEL: the engine of large-v3 needs ", "budget"),
    ("WHISPER_MODEL=TMP", "WHISPER_MODEL: model.bin and config.json are not both in 'TMP'", "budget"),
    ("WHISPER_BACKEND=whisper.cpp", "WHISPER_BACKEND: 'whisper.cpp' is none of builtin, faster-whisper", "settings"),
    ("WHISPER_DEVICE=cuda", "WHISPER_DEVICE: cuda needs WHISPER_BACKEND=faster-whisper; builtin has cpu", "model"),
    ("WHISPER_COMPUTE_TYPE=float32", "WHISPER_COMPUTE_TYPE: float32 needs WHISPER_BACKEND=faster-w", "model"),
    (
        "WHISPER_BACKEND=faster-whisper MEMORY_BUDGET_MB=512",
        "WHISPER_BACKEND: faster-whisper with tiny.en and recordings of 240 minutes (MAX_AUDIO_MINUTES) needs ",
        "budget",
    ),
    ("REDIS_URL=redis://localhost/first", "REDIS_URL: the value is no redis://", "settings"),
    ("MAX_UPLOAD_MB=9999999", "MAX_UPLOAD_MB: '9999999' is more than 1048576", "settings"),
    ("TTS_LANGUAGE=tlh", "TTS_LANGUAGE: no synthesizer here speaks 'tlh'; accepted: ", "synthesis"),
    ("TTS_LANGUAGE=english TTS_ENGINE=espeak", "TTS_LANGUAGE: no synthesizer here speaks 'english'; acc", "synthesis"),
    ("WEBHOOK_SECRET=whsec_", "WEBHOOK_SECRET: the value begins with whsec_, and what follows is", "settings"),
    ("WHISPER_LANGUAGE=klingon", "WHISPER_LANGUAGE: 'klingon' is unknown; accepted are af, ", "settings"),
    ("WHISPER_LANGUAGE=German WHISPER_MODEL=tiny.en", "WHISPER_LANGUAGE: 'de' is unknown to the model", "budget"),
    ("MODEL_DIR=FILE", "MODEL_DIR: FILE is not a directory", "model"),
    ("OPENAI_BASE_URL=api.example.com", "OPENAI_BASE_URL: 'api.example.com' must start with http", "settings"),
    ("OPENAI_BASE_URL=http://host:99999", "OPENAI_BASE_URL: 'http://host:99999' must start with http", "settings"),
    ("OPENAI_API_KEY=ключ", "OPENAI_API_KEY: the value has a character that no HTTP header carries", "settings"),
    ("TTS_ENGINE=parrot", "TTS_ENGINE: 'parrot' is none of " + ", ".join(("auto", *SYNTHESIZERS)), "settings"),
    ("TTS_LANGUAGE=e", "TTS_LANGUAGE: 'e' is not a language tag", "settings"),
    ("TTS_CACHE_DIR=FILE/cache", "TTS_CACHE_DIR: FILE is not a directory", "speech cache"),
    ("GTTS_URL=ftp://example.com", "GTTS_URL: 'ftp://example.com' must start with http", "settings"),
    ("ENGINE_TIMEOUT_SECONDS=99999999999", "ENGINE_TIMEOUT_SECONDS: '99999999999' is more than", "settings"),
    ("CLIENT_IDLE_SECONDS=NaN", "CLIENT_IDLE_SECONDS: 'NaN' is not a number", "settings"),
    ("JOB_TTL_HOURS=inf", "JOB_TTL_HOURS: 'inf' is not a number", "settings"),
    ("WORKER_SOFT_LIMIT_MB=200", "WORKER_HARD_LIMIT_MB: must be more than WORKER_SOFT_LIMIT_MB", "settings"),
    ("UPLOAD_DIR=TMP/none", "UPLOAD_DIR: TMP/none does not exist; set it to", "uploads"),
    ("UPLOAD_DIR=FILE", "UPLOAD_DIR: FILE is not a directory; set it to", "uploads"),
    ("DATA_DIR=FILE/data", "DATA_DIR: FILE is not a directory; set it to", "jobs"),
    ("WEBHOOK_SECRET=whsec_?", "WEBHOOK_SECRET: the value begins with whsec_, and what follows is", "settings"),
    (f"RATE_LIMIT={DIGITS}/minute", f"RATE_LIMIT: '{DIGITS}/minute' can't be read; write 60/minute", "access"),
    (f"RATE_LIMIT=5/{DIGITS} days", f"RATE_LIMIT: '5/{DIGITS} days' can't be read; write 60/minute", "access"),
    ("RATE_LIMIT=5/1000000000 years", "RATE_LIMIT: '5/1000000000 years' can't be read; write 60/", "access"),
    (f"UPLOAD_DIR=TMP/{LONG}", f"UPLOAD_DIR: TMP/{LONG} can't be used: File name too long; set", "uploads"),
    (f"DATA_DIR=TMP/{LONG}/a", f"DATA_DIR: TMP/{LONG}/a can't be used: File name too long; set", "jobs"),
    (f"TTS_CACHE_DIR=TMP/{LONG}", f"TTS_CACHE_DIR: TMP/{LONG} can't be used: File name too", "speech cache"),
    (f"MODEL_DIR=TMP/{LONG}", f"MODEL_DIR: TMP/{LONG} can't be used: File name too long", "model"),
    (f"WHISPER_MODEL={LONG}", f"WHISPER_MODEL: no model is called '{LONG}'", "budget"),
    (f"WHISPER_MODEL=tiny.en,TMP/{LONG}", "WHISPER_MODEL: model.bin and config.json are not both in", "budget"),
]  # fmt: skip
THROUGH_GUNICORN = ("PORT=eighty", "HOST=203.0.113.1", "API_KEYS=secret,", "RATE_LIMIT=60 a minute",
                    "CORS_ORIGINS=localhost:3000", "JOB_STORAGE_URL=file://FILE/jobs", "UPLOAD_DIR=TMP/none",
                    "CELERY_BROKER_URL=reddis://localhost", "WEB_CONCURRENCY=4 MEMORY_BUDGET_MB=512")  # fmt: skip


@pytest.fixture
def environment(tmp_path):
    """A function: the environment of a test whose settings are wrong, and the sentence, with the paths it has."""
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()

    def fill(text):
        return text.replace("TMP", str(tmp_path / "empty")).replace("FILE", str(tmp_path / "file"))

    def made(settings, sentence=""):
        pairs = re.split(r" (?=[A-Z_]+=)", fill(settings))
        port = {"PORT": str(free_port()), "HOST": "127.0.0.1"}
        return {**port, **dict(pair.split("=", 1) for pair in pairs)}, fill(sentence)

    return made


@pytest.mark.parametrize(("settings", "sentence", "name"), WRONG, ids=[wrong[0][:60] for wrong in WRONG])
def test_a_wrong_setting_stops_the_start_and_config_and_doctor_say_the_same(
    settings, sentence, name, environment, monkeypatch
):
    given, sentence = environment(settings, sentence)
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        settings_or_exit()
    said = str(stopped.value.code)  # a text: printed to standard error, and the status is 1
    assert said.startswith(f"Error: {sentence}")
    assert "\n" not in said
    shown = CliRunner().invoke(cli, ["config"])
    assert (shown.exit_code, shown.output) == (1, f"{said}\n")
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    wrong = [each for each in json.loads(done.output)["findings"] if each["status"] == "error"]
    assert (done.exit_code, [(each["name"], f"Error: {each['detail']}") for each in wrong]) == (
        1,
        [(name, said)],
    )


@pytest.mark.parametrize("settings", THROUGH_GUNICORN)
def test_the_server_says_it_once_and_nothing_else(settings, environment):
    (sentence,) = [wrong[1] for wrong in WRONG if wrong[0] == settings]
    given, sentence = environment(settings, sentence)
    served = subprocess.run(
        [sys.executable, "-m", "gunicorn", "wsgi:app"], cwd=PROJECT, env={**os.environ, **given},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert served.returncode == 1
    assert served.stderr.startswith(f"Error: {sentence}")
    assert (served.stdout, served.stderr.count("\n")) == ("", 1)


def test_a_port_in_use_is_said_once():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        served = subprocess.run(
            [sys.executable, "-m", "gunicorn", "wsgi:app"], cwd=PROJECT,
            env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port)}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert (served.returncode, served.stdout) == (1, "")
    assert (
        served.stderr == f"Error: PORT: {port} is in use by another program; end it, or set PORT to another\n"
    )


def test_a_port_that_is_given_up_meanwhile_is_waited_for():
    other = socket.create_server(("127.0.0.1", 0))
    threading.Timer(1.0, other.close).start()
    wait_for_port(Settings(host="127.0.0.1", port=other.getsockname()[1]))  # does not end this program
    assert other.fileno() == -1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("OPENAI_BASE_URL=https://api.example.com/v1", "unless DISABLE_LOCAL_WHISPER=true"),
        ("JOB_STORAGE_URL=file://TMP", "unless CELERY_BROKER_URL is set"),
    ],
)
def test_a_setting_without_effect_is_said_to_have_none(settings, reason, environment, monkeypatch):
    name = settings.partition("=")[0]
    given, _ = environment(settings)
    monkeypatch.setenv(name, given[name])
    monkeypatch.setenv("PORT", str(free_port()))
    shown = CliRunner().invoke(cli, ["config", "--changed"])
    assert shown.exit_code == 0
    sentences = [
        line.removeprefix("Warning: ") for line in shown.output.splitlines() if line.startswith("Warning")
    ]
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    found = [each for each in json.loads(done.output)["findings"] if each["name"] == "settings"]
    sentences += [each["detail"] for each in found if each["status"] == "warning"]
    with Server(**{name: given[name]}) as server:
        until(lambda: "API keys: " in server.log, "the worker has said what was started")
        sentences += [
            line.partition(" request_id=- ")[2] for line in server.log.splitlines() if " WARNING app " in line
        ]
    assert len(sentences) == 3
    assert len(set(sentences)) == 1
    assert sentences[0].startswith(f"{name}: has no effect")
    assert reason in sentences[0]


def test_a_worker_without_a_broker_says_so(environment):
    given, _ = environment("CELERY_BROKER_URL=")
    worker = [sys.executable, "-m", "celery", "-A", "app.jobs.fleet.worker", "worker"]
    done = subprocess.run(
        worker, cwd=PROJECT, env={**os.environ, **given}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: CELERY_BROKER_URL: must be set for a worker")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("broker", "packages"),
    [
        ("mongodb://host/jobs", "celery[mongodb]"),
        ("sqla+postgresql://host/jobs", "celery[sqlalchemy]"),
        ("kafka://host", "kombu[confluentkafka]"),
        ("gcpubsub://projects/name", "kombu[gcpubsub]"),
        ("azureservicebus://policy:key@name", "kombu[azureservicebus]"),
    ],
)
def test_a_broker_whose_packages_are_not_installed_stops_the_start(broker, packages, monkeypatch):
    """They are none of ours, and of no package of ours."""
    for name, value in (("CELERY_BROKER_URL", broker), ("REDIS_URL", "redis://localhost"), ("PORT", "0")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        settings_or_exit()
    kind = broker.partition("://")[0].partition("+")[0]
    assert (
        stopped.value.code
        == f"Error: CELERY_BROKER_URL: {kind}:// needs packages; run `pip install {packages}`"
    )


@pytest.mark.parametrize("broker", ["sqs://", "amqp://localhost", "sentinel://localhost"])
def test_a_broker_whose_packages_are_installed_does_not(broker, monkeypatch):
    for name, value in (("CELERY_BROKER_URL", broker), ("REDIS_URL", "redis://localhost"), ("PORT", "0")):
        monkeypatch.setenv(name, value)
    assert settings_or_exit().celery_broker_url == broker


def test_all_that_is_wrong_is_said_at_once(monkeypatch, tmp_path):
    for name, value in {
        "API_KEYS": "a,",
        "RATE_LIMIT": "often",
        "UPLOAD_DIR": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=r"API_KEYS: .*; RATE_LIMIT: .*; UPLOAD_DIR: "):
        settings_or_exit()


@pytest.mark.parametrize("text", ["file://TMP/jobs", "file://TMP/a/b"])
def test_storage_that_works_is_left_as_it_was(text, environment, monkeypatch, tmp_path):
    given, _ = environment(f"JOB_STORAGE_URL={text}")
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    assert settings_or_exit().job_storage_url == given["JOB_STORAGE_URL"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "file"]


def test_a_directory_this_user_may_not_look_into_is_said():
    names = ("UPLOAD_DIR", "DATA_DIR", "TTS_CACHE_DIR", "MODEL_DIR")
    code = """
import os, sys, tempfile
from app.config import Settings
from app.services import Services
from app.startup import problems
Services.build(Settings()).close(), [*problems(Settings())]  # imports what a user who is not root may not read
os.getuid() or os.seteuid(65534)
with tempfile.TemporaryDirectory(dir="/dev/shm") as closed:  # whose parents anybody may look into
    os.chmod(closed, 0)
    for name in sys.argv[1:]:
        for inside in ("", "/inside"):
            given = {"HOST": "127.0.0.1", "PORT": "0", name: closed + inside}
            print(*[sentence.replace(closed, "CLOSED") for _, sentence in problems(Settings.from_env(given))])
    os.chmod(closed, 0o700)
"""
    done = subprocess.run([sys.executable, "-c", code, *names], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.findall(
        r"^([A-Z_]+): (\S+) can't be (?:used|written to): Permission denied", done.stdout, re.M
    )
    assert found == [(name, f"CLOSED{inside}") for name in names for inside in ("", "/inside")]


@pytest.mark.parametrize(("text", "value"), [("[::1]", "::1"), ("::", "::"), ("localhost", "localhost")])
def test_addresses_of_version_6_are_read_with_and_without_brackets(text, value):
    assert Settings.from_env({"HOST": text}).host == value


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (("0.0.0.0", 8000), "http://localhost:8000"),
        (("::", 8000, 0, 0), "http://localhost:8000"),
        (("::1", 80, 0, 0), "http://[::1]:80"),
        (("10.0.0.5", 8080), "http://10.0.0.5:8080"),
        ("/run/voice.sock", "unix:/run/voice.sock"),
    ],
)
def test_the_url_is_one_that_can_be_opened(address, shown):
    assert url(address) == shown


def can_listen_on_version_6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.parametrize("host", ["::", "::1", "[::1]"])
def test_it_listens_on_version_6_and_says_where(host):
    assert can_listen_on_version_6(), "this machine has no IPv6 on its loopback interface"
    with Server(HOST=host, address="::1") as server:
        assert server.get("/health/live").status == 200
        shown = "localhost" if host == "::" else "[::1]"
        assert f"URL: http://{shown}:{server.port}\n" in server.log


def test_what_was_started_is_said_in_five_lines_once():
    with Server(
        WEB_CONCURRENCY="2", MEMORY_BUDGET_MB="900", API_KEYS=f"{LONG_KEY},{LONG_KEY[::-1]}"
    ) as server:
        until(lambda: "API keys: " in server.log, "the first worker has said what was started")
        lines = [line.partition(" request_id=- ")[2] for line in server.log.splitlines()]
    told = ("URL: ", "Speech to text: ", "Text to speech: ", "Memory budget: ", "API keys: ")
    said = [line for line in lines if line.startswith(told)]  # another worker's lines may be among them
    assert len(said) == 5
    assert said[0] == f"URL: {server.url}"
    assert said[1].startswith("Speech to text: tiny.en")
    assert said[2].startswith("Text to speech: ")
    assert "espeak" in said[2]
    assert said[3:] == [
        "Memory budget: 900 MB (MEMORY_BUDGET_MB), 450 MB for each of 2 workers",
        "API keys: 2 set",
    ]


def test_what_is_missing_is_said_there_too(tmp_path):
    with Server(MODEL_DIR=str(tmp_path)) as server:
        assert f"Speech to text: the model tiny.en is not in {tmp_path}; run `make run`" in server.log
        assert "API keys: none, everybody who reaches this service may use it" in server.log


def test_on_a_dyno_the_remedy_for_a_missing_model_is_one_of_a_dyno(tmp_path):
    with Server(MODEL_DIR=str(tmp_path), DYNO="web.1") as server:
        assert "git push heroku main" in server.get("/health").json["checks"]["transcription"]["reason"]
        answer = server.upload("/api/v1/pam/voice/transcribe", b"RIFF")
        assert (answer.status, answer.error["code"]) == (503, "model_missing")
        assert "git push heroku main" in answer.error["message"]


def test_below_a_prefix_and_without_it_the_service_answers():
    with Server(SCRIPT_NAME="/speech/") as server:
        for path, status in (
            ("/health", 200),
            ("/speech/health", 200),
            ("/speech", 200),
            ("/speechhealth", 404),
        ):
            assert server.get(path).status == status, path


def test_production_is_production_however_it_is_written():
    with Server(ENVIRONMENT="Production", API_KEYS=LONG_KEY) as server:
        until(lambda: "API keys: " in server.log, "what was started is said")
        # Of a machine without a container's limit, and of no other, this is to be said.
        assert ("MEMORY_BUDGET_MB is not set" in server.log) == (granted()[1] == MACHINE)


def test_a_relative_path_of_a_model_is_the_caller_s(tmp_path):
    (tmp_path / "mine").symlink_to(Path(Settings.from_env().model_dir) / "tiny.en")
    done = subprocess.run(
        [sys.executable, "-m", "app", "transcribe", str(AUSTEN_SHORT.path), "--model", "./mine"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_start_imports_nothing_that_a_health_check_does_without(tmp_path):
    code = """
import sys
from app import create_app
from app.config import Settings
app = create_app(Settings(data_dir=sys.argv[1]))
app.test_client().get("/health/live")
print(*sorted(set(sys.argv[2:]) & set(sys.modules)))
"""
    engines = ["numpy", "av", "ctranslate2", "onnxruntime", "gtts"]
    later = ["psutil", "sqlite3", "redis", "celery", "kombu", "smart_open", "asyncio"]
    command = [sys.executable, "-c", code, str(tmp_path), *engines, *later]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
