"""One trace from the OP's call to the app's handler and the evictor, as spans of OpenTelemetry."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from receiver.consumer import Eviction, Subscriber
from receiver.consumer.background import off_loop
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """An app's SDK, for this test only: a process has one for good."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


@pytest.mark.parametrize("called", [lambda drop: drop, off_loop], ids=["on the loop", "in a thread"])
async def test_one_trace_from_call_to_handler(
    called: Callable[[Any], Any], op: OP, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, *,
    clock: Clock, spans: InMemorySpanExporter,
) -> None:  # fmt: skip
    """The call is a child of the caller's span, the handler's of the call's, and what the handler does of that."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def drop(_: Eviction) -> None:
        with trace.get_tracer("app").start_as_current_span("drop"):
            loop.call_soon_threadsafe(done.set)

    async with (
        start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as receiver,
        Subscriber(redis_server.url, called(drop), app="portal"),
    ):
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = await receiver.send("POST", data={"logout_token": op.token()}, headers=headers)
        assert 200 == answer.status
        await asyncio.wait_for(done.wait(), 20)

    found = {span.name: span for span in spans.get_finished_spans()}
    call, evict, own = (found[name] for name in ("logout.backchannel", "logout.evict", "drop"))
    assert {int(TRACE, 16)} == {span.context.trace_id for span in (call, evict, own)}
    parents = [span.parent.span_id for span in (call, evict, own) if span.parent]
    assert [int(PARENT, 16), call.context.span_id, evict.context.span_id] == parents
    attributes = {**(evict.attributes or {}), **(call.attributes or {})}
    assert ("portal", 200) == (attributes["logout.app"], attributes["logout.status"])


async def test_handler_that_fails_is_a_span_that_failed(
    op: OP, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, spans: InMemorySpanExporter
) -> None:
    """An app's handler that raises is seen in the trace."""
    called = asyncio.Event()

    def fail(_: Eviction) -> None:
        called.set()
        raise LookupError

    async with (
        start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as receiver,
        Subscriber(redis_server.url, fail, app="portal"),
    ):
        await receiver.send("POST", data={"logout_token": op.token()})
        await asyncio.wait_for(called.wait(), 20)

    [evict] = [span for span in spans.get_finished_spans() if span.name == "logout.evict"]
    assert trace.StatusCode.ERROR == evict.status.status_code


async def test_service_sends_its_spans(op: OP, redis_server: EmbeddedRedis, redis_client: object) -> None:
    """`tracing.enabled` has `receiver serve` send spans where the standard variable says, the last at its end."""
    del redis_client
    sent: list[Any] = []

    async def collect(request: web.Request) -> web.Response:
        sent.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    collector = web.AppRunner(app)
    await collector.setup()
    await web.TCPSite(collector, "127.0.0.1", 0).start()
    port = collector.addresses[0][1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "receiver", "serve", stdout=asyncio.subprocess.PIPE, env={
            "RECEIVER_TRACING__ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "RECEIVER_PUBLIC__HOST": "127.0.0.1", "RECEIVER_PUBLIC__PORT": "0", "RECEIVER_INTERNAL__PORT": "0",
            "RECEIVER_REDIS__URL": redis_server.url, "RECEIVER_ISSUER": op.issuer, "RECEIVER_CLIENT_IDS": "c1",
        },
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as http:
            line: dict[str, Any] = {}
            while line.get("event") != "startup":
                line = json.loads(await process.stdout.readline())
            async with http.post(f"http://{line['public']}/backchannel-logout", data={"logout_token": "x"}) as answer:
                assert 400 == answer.status
            process.terminate()
            await process.stdout.read()
            assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await collector.cleanup()

    [of_service] = [one for request in sent for one in request.resource_spans]
    named = {one.key: one.value.string_value for one in of_service.resource.attributes}
    assert "logout-receiver" == named["service.name"]
    assert ["logout.backchannel"] == [span.name for scope in of_service.scope_spans for span in scope.spans]
