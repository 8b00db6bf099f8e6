"""Where the service's own spans go: by OTLP over HTTP, as OpenTelemetry's standard variables say."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from receiver import __version__
from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def exported(*, enabled: bool, service: str) -> Iterator[None]:
    """Send spans while it is open, and what is left at the end.

    Args:
        enabled: Whether any are.
        service: `service.name`, unless `OTEL_SERVICE_NAME` says another.

    Raises:
        ConfigurationError: enabled without the extra `otel`.
    """
    if not enabled:
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError("tracing.enabled: pip install '.[server,otel]' in a checkout") from error
    named = Resource.create({"service.name": service, "service.version": __version__})
    provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
