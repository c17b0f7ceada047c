"""Errors to Sentry and traces to OpenTelemetry: only where they are set up, and not even imported elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import __version__
from .config import ConfigError, Settings

if TYPE_CHECKING:
    from flask import Flask

SENTRY = "sentry-sdk[flask]"
OPENTELEMETRY = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http opentelemetry-instrumentation-flask"


def begin(app: Flask, settings: Settings) -> None:
    """Report what *settings* ask for; ConfigError names the packages that are missing."""
    if settings.sentry_dsn:
        _begin_sentry(settings)
    if settings.otel_exporter_otlp_endpoint:
        _begin_opentelemetry(app)


def _begin_sentry(settings: Settings) -> None:
    try:
        import sentry_sdk
    except ImportError:
        raise _missing("SENTRY_DSN", SENTRY) from None
    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        release=__version__,
        send_default_pii=False,
        # Recordings, texts and transcripts are in bodies and in local variables.
        max_request_body_size="never",
        include_local_variables=False,
        traces_sample_rate=0.0,
    )


def _begin_opentelemetry(app: Flask) -> None:
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise _missing("OTEL_EXPORTER_OTLP_ENDPOINT", OPENTELEMETRY) from None
    about = Resource.create({"service.name": "pam-voice", "service.version": __version__})
    provider = TracerProvider(resource=about)
    # The exporter reads OTEL_EXPORTER_OTLP_ENDPOINT and its kin itself.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument_app(app)


def _missing(setting: str, packages: str) -> ConfigError:
    return ConfigError(
        f"{setting}: is set, and its packages are not installed; run `pip install {packages}`, or unset it"
    )
