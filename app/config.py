"""The settings: typed, read once, every problem reported at once. Run it to print `.env.example`."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import socket
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .synthesizers import SYNTHESIZERS

PROJECT = Path(__file__).resolve().parent.parent
ENV_FILE = PROJECT / ".env"
COMPUTE_TYPES = tuple("default int8 int8_float16 int8_bfloat16 int16 float16 bfloat16 float32".split())
MOST = 10_000_000  # of any number without a limit of its own; timers and dates overflow from some 10**9 on
SENT = frozenset(string.ascii_letters + string.digits + string.punctuation)  # what a header carries unchanged
SPARE_THREADS = 4  # of a web worker, kept for requests without a body, health checks among them
NOT_SENT = "has a character that no HTTP header carries: use ASCII letters, digits and signs, no spaces"
BASE64 = "(?=.)([a-zA-Z0-9+/]{4})*([a-zA-Z0-9+/]{2}==|[a-zA-Z0-9+/]{3}=)?"
# Of kombu's transports (celery's documentation has the list) those that work between machines; for those that need
# more than requirements.txt brings, a package of it and how all of them are installed.
BROKERS = {
    **dict.fromkeys(("redis", "rediss", "sentinel", "amqp", "amqps", "pyamqp"), ("", "")),
    "sqs": ("boto3", "celery[sqs]"),
    "sqla": ("sqlalchemy", "celery[sqlalchemy]"),
    "mongodb": ("pymongo", "celery[mongodb]"),
    "kafka": ("confluent-kafka", "kombu[confluentkafka]"),
    "confluentkafka": ("confluent-kafka", "kombu[confluentkafka]"),
    "gcpubsub": ("google-cloud-pubsub", "kombu[gcpubsub]"),
    "azurestoragequeues": ("azure-storage-queue", "kombu[azurestoragequeues]"),
    "azureservicebus": ("azure-servicebus", "kombu[azureservicebus]"),
    "qpid": ("qpid-tools", "kombu[qpid]"),
}


class ConfigError(Exception):
    """The environment holds values that can't be used; a sentence for each begins with the setting's name."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = sentences


def setting(default: object, help: str, *, choices: tuple[str, ...] = (), least: float = 0, most: float = MOST,
            secret: bool = False, read: Callable[[str], object] | None = None) -> Any:  # fmt: skip
    """
    A field of Settings: its default, its line in `.env.example`, and what it accepts.

    *read* makes its value of a text, or raises a ValueError that says what the text is not; without it the type of
    the default decides.
    """
    metadata = {
        "help": help, "choices": choices, "least": least, "most": most, "secret": secret,
        "read": read or _READERS[type(default)],
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def read_bool(text: str) -> bool:
    """True or false as people write it; ValueError for anything else."""
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError("is neither true nor false")


def _read_number(kind: type[int] | type[float], text: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"is not a {'whole ' if kind is int else ''}number")
    return value


_READERS: dict[type, Callable[[str], object]] = {
    bool: read_bool, int: partial(_read_number, int), float: partial(_read_number, float), str: str,
}  # fmt: skip


def _url_parts(text: str) -> SplitResult | None:
    """The parts of an address that can be one: without spaces, its port a number."""
    try:
        parts = urlsplit(text)
        return parts if parts.port != 0 and SENT.issuperset(text) else None
    except ValueError:
        return None


def read_http_url(text: str) -> str:
    """The address *text* of a server; ValueError says what it has to be."""
    parts = _url_parts(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must start with http:// or https://, a host's name and a port that is a number")
    return text


def _read_dsn(text: str) -> str:
    parts = _url_parts(read_http_url(text))
    if parts is None or not parts.username or not parts.path.rpartition("/")[2].isdecimal():
        raise ValueError("is no DSN such as https://KEY@o1.ingest.sentry.io/42")
    return text


def _read_redis_url(text: str) -> str:
    parts = _url_parts(text)
    if parts is None or not (
        (parts.scheme in ("redis", "rediss") and parts.hostname and (parts.path[1:] or "0").isdecimal())
        or (parts.scheme == "unix" and parts.path)
    ):
        raise ValueError(
            "is no redis://, rediss:// or unix:// address such as redis://:PASSWORD@HOST:6379/0; "
            "in a password / ? # @ are written %2F %3F %23 %40"
        )
    return text


def broker_kind(url: str) -> str:
    """Which of BROKERS is meant; of `sqla+postgresql://...` the first word."""
    return url.partition("://")[0].partition("+")[0].lower()


def _read_broker_url(text: str) -> str:
    if "://" not in text or broker_kind(text) not in BROKERS:
        raise ValueError(
            "is no broker's address such as redis://:PASSWORD@HOST:6379/0, amqp://USER:PASSWORD@HOST// or sqs://"
        )
    return _read_redis_url(text) if text.startswith(("redis://", "rediss://")) else text


def _read_storage_url(text: str) -> str:
    scheme, _, place = text.partition("://")
    is_local = scheme == "file"
    if scheme in ("", "memory") or not place or place.startswith("/") != is_local:
        raise ValueError("is no storage such as s3://bucket/jobs or file:///mnt/shared")
    return text


def _read_host(text: str) -> str:
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if (":" in host and not is_ipv6(host)) or not host.isprintable() or set(host) & set("/[]@ "):
        raise ValueError("is no address or name such as 0.0.0.0, ::1 or localhost; the port is PORT's")
    return host


def _read_origins(text: str) -> str:
    for origin in split_list(text):
        parts = _url_parts(origin)
        whole = parts and parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}"
        is_plain = not set(origin) & set("*\\]?$^[()@")  # flask-cors takes these signs for a pattern
        if origin != "*" and not (whole and parts and parts.hostname and is_plain):
            which = "" if origin == text else f"has {origin!r}, which "
            raise ValueError(f"{which}is no origin such as https://app.example.com, nor *")
    return text


def _read_header(text: str) -> str:
    if not SENT.issuperset(text):
        raise ValueError(NOT_SENT)
    return text


def _read_secret(text: str) -> str:
    if text.startswith("whsec_") and not re.fullmatch(BASE64, text[len("whsec_") :]):
        raise ValueError("begins with whsec_, and what follows is not base64")
    return text


def _read_whisper_language(text: str) -> str:
    from .speech import languages  # a table, read where it is needed

    return "" if text.lower() == "auto" else languages.whisper_code(text)


def _read_language_tag(text: str) -> str:
    from .speech import languages

    languages.normal(text)
    return text


def split_list(text: str) -> list[str]:
    """The origins of CORS_ORIGINS, without the slash that may end one."""
    return [part.strip().rstrip("/") for part in text.split(",")]


def is_ipv6(host: str) -> bool:
    """Whether *host* is a literal address of version 6, which stands in brackets where a port follows."""
    try:
        return bool(socket.inet_pton(socket.AF_INET6, host))
    except OSError:
        return False


def threads_for_bodies(web_threads: int) -> int:
    """How many of a web worker's threads may serve requests with a body, or WebSockets; the others are spare."""
    return web_threads - min(SPARE_THREADS, web_threads // 2)


# Kinds of settings there are several of.
_percent = partial(setting, most=100)
_secret = partial(setting, "", secret=True)
_directory = partial(setting, read=os.path.expanduser)
_url = partial(setting, "", read=read_http_url)
# The synthesizers in the order they are asked, and whom one that is online sends the texts to.
_CHAIN = ", else ".join(
    f"{one.name} (texts go to {one.sends_texts_to})" if one.sends_texts_to else one.name
    for one in SYNTHESIZERS.values()
)


@dataclass(frozen=True, repr=False, eq=False)  # a repr would show secrets; both take 1.5 ms to make
class Settings:
    """Everything that can be set; a field is the environment variable of the same name in capitals."""

    port: int = setting(8000, "port the server listens on", most=65535)
    host: str = setting(
        "0.0.0.0",  # noqa: S104 (a dyno's router is outside)
        "address the server listens on; :: is every address of versions 4 and 6",
        read=_read_host,
    )
    web_concurrency: int = setting(
        1, "web workers; each owns its engines and gets its share of the budget", least=1, most=64
    )
    web_threads: int = setting(24, "threads a web worker answers requests with", least=2, most=256)
    log_level: str = setting("info", "how much is logged", choices=("debug", "info", "warning", "error"))
    log_format: str = setting("text", "how it is written, one event a line", choices=("text", "json"))
    monitoring: bool = setting(True, "false: there are no metrics, and the monitoring routes answer 404")
    alert_error_percent: float = _percent(
        5.0, "alert when more percent of the requests of 5 minutes failed (status 5xx)"
    )
    alert_latency_seconds: float = setting(
        30.0, "alert when a route's 95th percentile of 5 minutes is longer"
    )
    alert_memory_percent: float = _percent(90.0, "alert when more percent of the memory budget are in use")
    alert_disk_percent: float = _percent(
        90.0, "alert when more percent of the disk with the uploads are in use"
    )
    alert_engine_restarts: int = setting(3, "alert when more engine processes than this died within an hour")
    environment: str = setting(
        "development",
        "where this runs; production: log and /health warn if there are no API_KEYS",
        read=str.lower,
    )
    api_keys: str = _secret(
        "API keys, comma separated, each as it is or as sha256: and its hash; empty: everybody may call"
    )
    rate_limit: str = setting(
        "", "requests a key or address may make, such as 60/minute or 10/second;300/hour; empty: any number"
    )
    audio_seconds_per_hour: int = setting(
        0, "seconds of audio a key or address may have transcribed or spoken in an hour; 0: any number"
    )
    redis_url: str = _secret(
        "Redis: counts limits over all workers and machines, and keeps the jobs with CELERY_BROKER_URL",
        read=_read_redis_url,
    )
    trusted_proxies: int = setting(
        0, "routers in front whose X-Forwarded-* headers are believed; on Render and Heroku the default is 1", most=10,
    )  # fmt: skip
    cors_origins: str = setting(
        "",
        "browser origins that may call, comma separated, such as https://app.example.com; *: any; empty: none",
        read=_read_origins,
    )
    sentry_dsn: str = _secret("where errors are reported; needs the package sentry-sdk", read=_read_dsn)
    otel_exporter_otlp_endpoint: str = _url(
        "where traces are sent; needs the packages docs/monitoring.md names"
    )
    worker_soft_limit_mb: int = setting(
        90, "a web worker larger than this collects garbage and gives memory back after a request", least=1
    )
    worker_hard_limit_mb: int = setting(
        160, "a web worker larger than this is replaced once its requests are answered", least=1
    )

    memory_budget_mb: int = setting(
        0, "memory for the whole service; 0: the container's limit, else the machine's memory"
    )
    memory_reserve_mb: int = setting(12, "part of the budget that is kept free")

    whisper_model: str = setting(
        "tiny.en,base",
        "speech-to-text models, the default first, comma separated: names, paths of CTranslate2 models, or auto "
        "(the largest that fits)",
    )
    allow_model_fetch: bool = setting(
        False, "true: with one of API_KEYS models may be fetched, used by their names, and removed over HTTP"
    )
    model_dir: str = _directory(str(PROJECT / "models"), "where models are kept")
    whisper_backend: str = setting(
        "builtin",
        "what runs the model: builtin, in bounded memory; or the package faster-whisper, for large machines and GPUs",
        choices=("builtin", "faster-whisper"),
    )
    whisper_device: str = setting(
        "auto",
        "where faster-whisper computes; auto: on a GPU where there is one",
        choices=("cpu", "cuda", "auto"),
    )
    whisper_compute_type: str = setting(
        "default",
        "numbers faster-whisper computes with, as CTranslate2 names them; default: int8, on a GPU float16",
        choices=COMPUTE_TYPES,
    )
    whisper_encoder: str = setting(
        "auto",
        "what computes Whisper's encoder: the kernels in CTranslate2's library, or numpy, which takes twice as long; "
        "auto: the kernels where they work",
        choices=("auto", "kernels", "numpy"),
    )
    whisper_beam_size: int = setting(1, "hypotheses kept while decoding; 1 is greedy", least=1, most=10)
    whisper_language: str = setting(
        "", "language of recordings when a request names none; empty: detected", read=_read_whisper_language
    )
    stt_threads: int = setting(0, "threads that transcribe; 0: the processors this service may use", most=256)
    disable_local_whisper: bool = setting(
        False, "true: no model, no engine; transcription goes to OPENAI_BASE_URL when that is set"
    )
    openai_base_url: str = _url("OpenAI-compatible server that transcribes when local Whisper is disabled")
    openai_api_key: str = _secret("its key", read=_read_header)
    openai_model: str = setting("whisper-1", "the model to ask it for")
    openai_timeout_seconds: int = setting(120, "how long it may take", least=1)

    tts_engine: str = setting(
        "auto",
        f"synthesizer; auto: {_CHAIN}",
        choices=("auto", *SYNTHESIZERS),
    )
    tts_language: str = setting("en", "language of texts when a request names none", read=_read_language_tag)
    tts_max_characters: int = setting(4096, "longest text that is spoken", least=1, most=100_000)
    tts_timeout_seconds: int = setting(25, "time until the first audio, all synthesizers together", least=1)
    tts_cache_mb: int = setting(64, "speech kept on disk for identical requests; 0: none")
    tts_cache_dir: str = _directory(str(PROJECT / "cache" / "speech"), "where it is kept")
    kokoro: bool = setting(
        True, "false: kokoro does not speak, though `python -m app voices fetch kokoro` brought it"
    )
    neural_voice_download: bool = setting(False, "true: neural voices not on this machine may be downloaded")
    gtts_url: str = _url("another server that speaks Google Translate's protocol; empty: Google's")

    engine_seats: int = setting(
        10, "requests an engine runs or lets wait; the next is refused", least=1, most=128
    )
    client_wait_seconds: int = setting(
        60,
        "how long clients are taken to wait for a transcription; what can't be begun by then is refused or made a job",
        least=1,
    )
    engine_idle_seconds: int = setting(60, "an engine unused for this long is closed")
    engine_timeout_seconds: int = setting(60, "an engine without progress for this long is ended", least=1)
    max_upload_mb: int = setting(25, "largest upload, in MiB", least=1, most=1 << 20)
    max_audio_minutes: int = setting(240, "longest recording", least=1)
    client_idle_seconds: float = setting(
        20.0,
        "the connection of a client that sends or takes nothing for this long is closed",
        least=0.1,
        most=600,
    )
    realtime_sessions: int = setting(
        4, "live sessions (WebSockets that transcribe) at a time, over all web workers; 0: none", most=256
    )
    realtime_minutes: float = setting(60.0, "how long one may last", least=0.01, most=1440)
    realtime_idle_seconds: int = setting(300, "one in which nothing is sent for this long is closed", least=1)
    upload_dir: str = _directory(
        "", "directory for uploads while they are worked on; empty: the system's temporary one"
    )

    data_dir: str = _directory(str(PROJECT / "data"), "where jobs and their recordings are kept")
    job_ttl_hours: float = setting(24.0, "how long a finished job is kept", least=0.01)
    job_disk_mb: int = setting(1024, "disk space for jobs; new ones beyond it are refused", least=1)
    job_attempts: int = setting(3, "how often a job is tried if its engine or worker fails", least=1, most=20)
    job_time_limit_minutes: int = setting(120, "how long one attempt at a job may take", least=1)
    job_part_minutes: int = setting(
        10,
        "with CELERY_BROKER_URL, recordings longer than this are cut at pauses and shared among workers; 0: never",
    )
    celery_broker_url: str = _secret(
        "broker that gives jobs to workers (`make worker`); empty: jobs run here", read=_read_broker_url
    )
    job_storage_url: str = _secret(
        "where web and workers share recordings and results: file:///..., s3://...; empty: DATA_DIR",
        read=_read_storage_url,
    )
    webhook_secret: str = _secret("signs what is sent to a job's webhook_url", read=_read_secret)
    webhook_private_addresses: bool = setting(
        False, "true: webhooks may go to http:// and to private addresses, for trying them out"
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """
        The settings *environ* holds; by default this process's environment, over a `.env` in the project.

        ConfigError names every value that can't be used.
        """
        if environ is None:
            environ = {**env_file(), **os.environ}
        values: dict[str, Any] = {}  # a setting may be of any of the types below
        if platform(environ):
            values["trusted_proxies"] = 1
        problems = []
        for field in dataclasses.fields(cls):
            name = field.name.upper()
            text = environ.get(name, "").strip()
            if not text:
                continue
            try:
                values[field.name] = _parse(field, text)
            except ValueError as problem:
                shown = "the value" if field.metadata["secret"] else repr(text)
                problems.append(f"{name}: {shown} {str(problem).removeprefix(repr(text)).lstrip()}")
        problems += _contradictions(cls(**values)) if not problems else []
        if problems:
            raise ConfigError(*problems)
        return cls(**values)

    @property
    def live_sessions_here(self) -> int:
        """How many live sessions one web worker may have: each takes a thread of those for uploads, at most half."""
        return min(self.realtime_sessions, threads_for_bodies(self.web_threads) // 2)

    @property
    def fleet_redis_url(self) -> str:
        """Redis where jobs stand that workers share; empty where the broker is no Redis and none is named."""
        broker = self.celery_broker_url
        return self.redis_url or (broker if broker.startswith(("redis://", "rediss://")) else "")


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """*environ* as a process gets it that has no business with keys and passwords."""
    secrets = {field.name.upper() for field in dataclasses.fields(Settings) if field.metadata["secret"]}
    return {name: value for name, value in environ.items() if name not in secrets}


def env_file() -> Mapping[str, str]:
    """What `.env` in the project says, whether it counts or not; empty without one. ConfigError: it can't be read."""
    if not ENV_FILE.exists():
        return {}
    from dotenv import dotenv_values  # 8 ms of the start, where there is a file to read

    try:
        with ENV_FILE.open(encoding="utf-8") as file:
            return {name: value or "" for name, value in dotenv_values(stream=file).items()}
    except (OSError, UnicodeError) as problem:
        raise ConfigError(f"{ENV_FILE}: can't be read: {getattr(problem, 'strerror', problem)}") from None


def platform(environ: Mapping[str, str] = os.environ) -> str:
    """The host this runs on, "Heroku" or "Render", as far as it says so in the environment; else empty."""
    return "Render" if environ.get("RENDER") else "Heroku" if environ.get("DYNO") else ""


def _parse(field: dataclasses.Field[Any], text: str) -> object:
    """*text* as the field's type; ValueError says what it is not."""
    limits = field.metadata
    if limits["choices"]:
        if text.lower() not in limits["choices"]:
            raise ValueError(f"is none of {', '.join(limits['choices'])}")
        return text.lower()
    value = limits["read"](text)
    if isinstance(value, int | float):
        if value < limits["least"]:
            raise ValueError(f"is less than {limits['least']}")
        if value > limits["most"]:
            raise ValueError(f"is more than {limits['most']}")
    return value


def _contradictions(settings: Settings) -> list[str]:
    """What is wrong with values that are each right alone."""
    problems = []
    if settings.worker_hard_limit_mb <= settings.worker_soft_limit_mb:
        problems.append("WORKER_HARD_LIMIT_MB: must be more than WORKER_SOFT_LIMIT_MB")
    if settings.engine_seats >= settings.web_threads:
        # Else a busy engine takes the thread that answers the health check.
        problems.append("ENGINE_SEATS: must be less than WEB_THREADS")
    most = settings.live_sessions_here * settings.web_concurrency
    if most < settings.realtime_sessions != Settings.realtime_sessions:
        problems.append(
            f"REALTIME_SESSIONS: {settings.realtime_sessions} is more than {most}, which is what this many threads "
            "(WEB_THREADS, of each of WEB_CONCURRENCY workers) leave room for beside other requests"
        )
    if settings.celery_broker_url and not settings.fleet_redis_url:
        problems.append(
            "REDIS_URL: must be set, too: workers share what they know of jobs in Redis, and CELERY_BROKER_URL is none"
        )
    return problems


def example() -> str:
    """The text of `.env.example`."""
    lines = ["# Every setting with its default; copy to .env and uncomment what should differ.", ""]
    for field in dataclasses.fields(Settings):
        accepted = f" ({' | '.join(field.metadata['choices'])})" if field.metadata["choices"] else ""
        # A default inside the project reads the same everywhere.
        default = shown(field.default).removeprefix(f"{PROJECT}/")
        lines += [f"# {field.metadata['help']}{accepted}", f"# {field.name.upper()}={default}", ""]
    return "\n".join(lines).rstrip() + "\n"


def shown(value: object) -> str:
    """The *value* of a setting as it would be written."""
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(example(), end="")
