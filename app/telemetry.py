"""Errors to Sentry and traces to OpenTelemetry: only where they are set up, and not even imported elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import __version__
from .config import ConfigError, Settings

if TYPE_CHECKING:
    from flask import Flask

SENTRY = "sentry-sdk[flask]"
OPENTELEMETRY = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http opentelemetry-instrumentation-flask"


def begin(app: Flask, settings: Settings) -> None:
    """Report what *settings* ask for; ConfigError names the packages that are missing."""
    for problem in missing(settings):
        raise ConfigError(problem)
    if settings.sentry_dsn:
        _begin_sentry(settings)
    if settings.otel_exporter_otlp_endpoint:
        _begin_opentelemetry(app)


def _begin_sentry(settings: Settings) -> None:
    import sentry_sdk

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
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = Resource.create({"service.name": "pam-voice", "service.version": __version__})
    provider = TracerProvider(resource=about)
    # The exporter reads OTEL_EXPORTER_OTLP_ENDPOINT and its kin itself.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument_app(app)


def missing(settings: Settings) -> Iterator[str]:
    """A sentence for each of *settings* whose packages are not installed."""
    from importlib.metadata import PackageNotFoundError, version

    for name, value, packages in (
        ("SENTRY_DSN", settings.sentry_dsn, SENTRY),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", settings.otel_exporter_otlp_endpoint, OPENTELEMETRY),
    ):
        try:
            for package in packages.split() if value else ():
                version(package.partition("[")[0])
        except PackageNotFoundError:
            yield f"{name}: is set, and its packages are not installed; run `pip install {packages}`, or unset it"
