"""Spans of OpenTelemetry, by its API where that is installed.

Where they go is the affair of the process: an app sets up an SDK as for its other spans, the service does in `ops`.
Without an SDK a span is nothing, and a trace that came in goes on to the next step as it came.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    _INSTALLED = False
else:
    _INSTALLED = True

if TYPE_CHECKING:
    from collections.abc import Iterator


class Span:
    """One step of a logout.

    Attributes:
        traceparent: What the next step is part of; None where there is no trace.
    """

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any, traceparent: str | None) -> None:
        self._span = span
        self.traceparent = traceparent

    def end_with(self, *, good: bool, **attributes: str | int) -> None:
        """Say how it ended."""
        if self._span is not None:
            self._span.set_attributes({f"logout.{name}": value for name, value in attributes.items()})
            if not good:
                self._span.set_status(trace.StatusCode.ERROR)


def is_on() -> bool:
    """Whether spans go anywhere: without an SDK the API makes some, too."""
    return _INSTALLED and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextlib.contextmanager
def span(name: str, kind: Literal["SERVER", "CONSUMER"], traceparent: str | None) -> Iterator[Span]:
    """Trace what is done inside, as a part of the trace given, else as one of its own."""
    if not is_on():
        yield Span(None, traceparent)
        return
    headers = {"traceparent": traceparent} if traceparent else {}
    context = TraceContextTextMapPropagator().extract(headers)
    tracer = trace.get_tracer("logout-receiver")
    with tracer.start_as_current_span(name, context=context, kind=trace.SpanKind[kind]) as started:
        carried: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carried)
        yield Span(started, carried.get("traceparent", traceparent))
