"""The settings: typed, read once, every problem reported at once. Run it to print `.env.example`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent


class ConfigError(Exception):
    """The environment holds values that can't be used; the message names all of them."""


def setting(default: object, help: str, *, choices: tuple[str, ...] = (), least: float | None = None,
            most: float | None = None, secret: bool = False) -> Any:  # fmt: skip
    """A field of Settings: its default, its line in `.env.example`, and what it accepts."""
    metadata = {"help": help, "choices": choices, "least": least, "most": most, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Everything that can be set; a field is the environment variable of the same name in capitals."""

    port: int = setting(8000, "port the server listens on", least=0, most=65535)
    host: str = setting("0.0.0.0", "address the server listens on")  # noqa: S104 (a dyno's router is outside)
    web_concurrency: int = setting(
        1, "web workers; each owns its engines and gets its share of the budget", least=1, most=64
    )
    web_threads: int = setting(24, "threads a web worker answers requests with", least=2, most=256)
    log_level: str = setting("info", "how much is logged", choices=("debug", "info", "warning", "error"))
    log_format: str = setting("text", "how it is written, one event a line", choices=("text", "json"))
    monitoring: bool = setting(True, "false: nothing is counted, and the monitoring routes say so")
    alert_error_percent: float = setting(
        5.0, "alert when more of the requests of 5 minutes failed (status 5xx)", least=0, most=100
    )
    alert_latency_seconds: float = setting(
        30.0, "alert when a route's 95th percentile of 5 minutes is longer", least=0
    )
    alert_memory_percent: float = setting(
        90.0, "alert when more of the memory budget is in use", least=0, most=100
    )
    alert_disk_percent: float = setting(
        90.0, "alert when more of the disk uploads wait on is in use", least=0, most=100
    )
    alert_engine_restarts: int = setting(
        3, "alert when more engine processes than this died within an hour", least=0
    )
    environment: str = setting(
        "development", "where this runs; production: an open service (no API_KEYS) is warned about"
    )
    api_keys: str = setting(
        "",
        "keys that are let in, comma separated, each as it is or as sha256: and its hash; empty: everybody",
        secret=True,
    )
    rate_limit: str = setting(
        "", "requests a key or address may make, such as 60/minute or 10/second;300/hour; empty: any number"
    )
    audio_seconds_per_hour: int = setting(
        0,
        "seconds of audio a key or address may have transcribed or spoken in an hour; 0: any number",
        least=0,
    )
    redis_url: str = setting(
        "", "Redis, where limits are counted over all workers and machines, and jobs noted with CELERY_BROKER_URL",
        secret=True,
    )  # fmt: skip
    trusted_proxies: int = setting(
        0, "routers in front whose X-Forwarded-* headers are believed; on Render and Heroku the default is 1",
        least=0, most=10,
    )  # fmt: skip
    cors_origins: str = setting(
        "",
        "browser origins that may call, comma separated, such as https://app.example.com; *: any; empty: none",
    )
    sentry_dsn: str = setting("", "where errors are reported; needs the package sentry-sdk", secret=True)
    otel_exporter_otlp_endpoint: str = setting(
        "", "where traces are sent; needs the packages docs/monitoring.md names"
    )
    worker_soft_limit_mb: int = setting(
        90, "a web worker larger than this collects garbage and gives memory back after a request", least=1
    )
    worker_hard_limit_mb: int = setting(
        160, "a web worker larger than this is replaced once its requests are answered", least=1
    )

    memory_budget_mb: int = setting(
        0, "what the whole service may weigh; 0: the container's limit, else the machine's memory", least=0
    )
    memory_reserve_mb: int = setting(12, "part of the budget that is kept free", least=0)

    whisper_model: str = setting(
        "tiny.en",
        "speech-to-text model: a name, the path of a CTranslate2 model, or auto (the largest that fits)",
    )
    model_dir: str = setting(str(PROJECT / "models"), "where models are kept")
    whisper_beam_size: int = setting(1, "hypotheses kept while decoding; 1 is greedy", least=1, most=10)
    whisper_language: str = setting("", "language of recordings when a request names none; empty: detected")
    stt_threads: int = setting(
        0, "threads that transcribe; 0: the processors this service may use", least=0, most=256
    )
    disable_local_whisper: bool = setting(
        False, "true: no model, no engine; transcription goes to OPENAI_BASE_URL when that is set"
    )
    openai_base_url: str = setting(
        "", "OpenAI-compatible server that transcribes when local Whisper is disabled"
    )
    openai_api_key: str = setting("", "its key", secret=True)
    openai_model: str = setting("whisper-1", "the model to ask it for")
    openai_timeout_seconds: int = setting(120, "how long it may take", least=1)

    tts_engine: str = setting(
        "auto", "who speaks; auto: gtts (texts go to Google), else neural, else espeak (both offline)",
        choices=("auto", "gtts", "neural", "espeak"),
    )  # fmt: skip
    tts_language: str = setting("en", "language of texts when a request names none")
    tts_max_characters: int = setting(4096, "longest text that is spoken", least=1, most=100_000)
    tts_timeout_seconds: int = setting(25, "how long until the first audio, all engines together", least=1)
    tts_cache_mb: int = setting(64, "speech kept on disk for identical requests; 0: none", least=0)
    tts_cache_dir: str = setting(str(PROJECT / "cache" / "speech"), "where it is kept")
    neural_voice_download: bool = setting(False, "true: neural voices not on this machine may be downloaded")
    gtts_url: str = setting("", "another server that speaks Google Translate's protocol; empty: Google's")

    engine_seats: int = setting(
        10, "requests an engine runs or lets wait; the next is refused", least=1, most=128
    )
    engine_idle_seconds: int = setting(60, "an engine unused for this long is closed", least=0)
    engine_timeout_seconds: int = setting(60, "an engine without progress for this long is ended", least=1)
    max_upload_mb: int = setting(25, "largest upload, in MiB", least=1)
    max_audio_minutes: int = setting(240, "longest recording", least=1)
    client_idle_seconds: float = setting(
        20.0, "a client that sends or takes nothing for this long is left", least=0.1, most=600
    )
    upload_dir: str = setting("", "where uploads wait on disk; empty: the system's temporary directory")

    data_dir: str = setting(str(PROJECT / "data"), "where jobs and their recordings are kept")
    job_ttl_hours: float = setting(24.0, "how long a finished job is kept", least=0.01)
    job_disk_mb: int = setting(1024, "what jobs may take of the disk; past it new ones are refused", least=1)
    job_attempts: int = setting(3, "times a job is tried whose engine or worker fails", least=1, most=20)
    job_time_limit_minutes: int = setting(120, "how long one attempt at a job may take", least=1)
    job_part_minutes: int = setting(
        10,
        "with CELERY_BROKER_URL, recordings longer than this are cut at silences and shared out; 0: never",
        least=0,
    )
    celery_broker_url: str = setting(
        "", "broker that gives jobs to workers (`make worker`); empty: jobs run here", secret=True
    )
    job_storage_url: str = setting(
        "",
        "where web and workers share recordings and results: file:///..., s3://...; empty: DATA_DIR",
        secret=True,
    )
    webhook_secret: str = setting("", "signs what is sent to a job's webhook_url", secret=True)
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
            environ = _environment()
        values: dict[str, Any] = {}  # a setting may be of any of the types below
        if environ.get("RENDER") or environ.get("DYNO"):  # set by Render, and by Heroku on every dyno
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
                problems.append(f"{name}: {shown} {problem}")
        problems += _contradictions(cls(**values)) if not problems else []
        if problems:
            raise ConfigError("; ".join(problems))
        return cls(**values)

    @property
    def fleet_redis_url(self) -> str:
        """Redis where jobs stand that workers share; empty where the broker is no Redis and none is named."""
        broker = self.celery_broker_url
        return self.redis_url or (broker if broker.startswith(("redis://", "rediss://")) else "")


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """*environ* as a process gets it that has no business with keys and passwords."""
    secrets = {field.name.upper() for field in dataclasses.fields(Settings) if field.metadata["secret"]}
    return {name: value for name, value in environ.items() if name not in secrets}


def _environment() -> Mapping[str, str]:
    if not (PROJECT / ".env").exists():
        return os.environ
    from dotenv import dotenv_values  # 8 ms of the start, where there is a file to read

    from_file = {name: value or "" for name, value in dotenv_values(PROJECT / ".env").items()}
    return {**from_file, **os.environ}


def _parse(field: dataclasses.Field[Any], text: str) -> object:
    """*text* as the field's type; ValueError says what it is not."""
    value = _READERS[type(field.default)](text)
    limits = field.metadata
    if limits["choices"] and value not in limits["choices"]:
        raise ValueError(f"is none of {', '.join(limits['choices'])}")
    if limits["least"] is not None and value < limits["least"]:
        raise ValueError(f"is less than {limits['least']}")
    if limits["most"] is not None and value > limits["most"]:
        raise ValueError(f"is more than {limits['most']}")
    return value


def _read_bool(text: str) -> bool:
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError("is neither true nor false")


def _read_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("is not a whole number") from None


def _read_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("is not a number") from None


_READERS: dict[type, Callable[[str], Any]] = {bool: _read_bool, int: _read_int, float: _read_float, str: str}


def _contradictions(settings: Settings) -> list[str]:
    """What is wrong with values that are each right alone."""
    problems = []
    if settings.worker_hard_limit_mb <= settings.worker_soft_limit_mb:
        problems.append("WORKER_HARD_LIMIT_MB: must be more than WORKER_SOFT_LIMIT_MB")
    if settings.engine_seats >= settings.web_threads:
        # Else a busy engine takes the thread that answers the health check.
        problems.append("ENGINE_SEATS: must be less than WEB_THREADS")
    if settings.openai_base_url and not settings.openai_base_url.startswith(("http://", "https://")):
        problems.append("OPENAI_BASE_URL: must start with http:// or https://")
    if settings.gtts_url and not settings.gtts_url.startswith(("http://", "https://")):
        problems.append("GTTS_URL: must start with http:// or https://")
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
        lines += [
            f"# {field.metadata['help']}{accepted}",
            f"# {field.name.upper()}={_shown(field.default)}",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _shown(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.removeprefix(f"{PROJECT}/")  # a default inside the project reads the same everywhere


if __name__ == "__main__":
    print(example(), end="")
