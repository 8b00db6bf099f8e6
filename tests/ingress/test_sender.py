"""Where a request came from: in its log line, in its event, and with the app; never in the way of a logout."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from receiver.consumer import Eviction, Subscriber
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    """The fields of these log lines."""
    return [record.fields for record in caplog.records if record.getMessage() == name]  # type: ignore[attr-defined]


async def test_trace_goes_through_the_event_to_the_app(
    op: OP, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The request's `traceparent` is the event's, by which the app can go on with the trace."""
    caplog.set_level(logging.INFO, "receiver")
    heard: asyncio.Queue[Eviction] = asyncio.Queue()
    async with (
        start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as receiver,
        Subscriber(redis_server.url, heard.put_nowait, app="portal"),
    ):
        headers = {"traceparent": TRACEPARENT, "X-Request-Id": "r1"}
        answer = await receiver.send("POST", data={"logout_token": op.token()}, headers=headers)
        assert 200 == answer.status
        eviction = await asyncio.wait_for(heard.get(), 20)
        [event] = await receiver.events()

    assert (TRACEPARENT, TRACEPARENT) == (event["traceparent"], eviction.traceparent)
    [line] = lines(caplog, "logout.accepted")
    assert (TRACE, "r1", "127.0.0.1") == (line["trace_id"], line["unverified_request_id"], line["peer"])


@pytest.mark.parametrize("given", [["junk"], [TRACEPARENT, TRACEPARENT], [""]])
async def test_bad_trace_context_is_ignored(
    given: list[str], op: OP, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock
) -> None:
    """A `traceparent` that is none, or given twice, counts as none (Trace Context §3.2.2)."""
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as receiver:
        headers = [("traceparent", one) for one in given]
        answer = await receiver.send("POST", data={"logout_token": op.token()}, headers=headers)
        [event] = await receiver.events()

    assert 200 == answer.status
    assert "traceparent" not in event


@pytest.mark.parametrize(
    ("proxies", "noted", "peer"),
    [
        (0, ["192.0.2.1"], "127.0.0.1"),
        (1, ["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
        (2, ["203.0.113.9, 192.0.2.1", "10.0.0.1"], "192.0.2.1"),
        (1, ["203.0.113.9, 2001:db8::1"], "2001:db8::1"),
        (1, [], "127.0.0.1"),
        (2, ["192.0.2.1"], "127.0.0.1"),
        (1, ["192.0.2.1, made up"], "127.0.0.1"),
    ],
)
async def test_peer_behind_proxies(
    proxies: int, noted: list[str], peer: str, *, op: OP, redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis, clock: Clock, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """What the outermost of our own proxies has noted; what the sender itself wrote before it does not count."""
    public = {"proxies": proxies}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], public=public) as receiver:
        await receiver.send("POST", data={"logout_token": "x"}, headers=[("X-Forwarded-For", one) for one in noted])
        await receiver.send("POST", "/elsewhere", headers=[("X-Forwarded-For", one) for one in noted])

    assert [peer, peer] == [line["peer"] for line in lines(caplog, "logout.rejected")]
