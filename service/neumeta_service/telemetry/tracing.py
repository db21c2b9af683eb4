"""Traces, for those who ask for them: OpenTelemetry spans of requests and their stages, sent by OTLP over HTTP.

FastAPI makes the spans of requests, as children of what ``traceparent`` names. OpenTelemetry's SDK is imported only here, when it is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from neumeta_service.settings import SettingsError
from neumeta_service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer


class TracedMetrics(Metrics):
    """Metrics whose stages are spans too. A build that several requests share belongs to the one that began it."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    @contextmanager
    def stage(self, name: str, seconds: MutableMapping[str, float]) -> Iterator[None]:
        """Time a stage, in a span of its name."""
        with self._tracer.start_as_current_span(name), super().stage(name, seconds):
            yield


def make_tracer_provider() -> TracerProvider:
    """Where spans go to, as the standard ``OTEL_*`` variables say; without them to a collector on this machine. Raises SettingsError."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(f"NEUMETA_TRACING needs the extra otel (pip install 'neumeta-server[otel]'): {error}.") from error
    name = os.environ.get("OTEL_SERVICE_NAME") or "neumeta-service"
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
