"""A publish that fails in a way that was not foreseen: an error of ours, told, and no harm to any other logout."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from receiver.bus.events.publish import Durability, EvictionPublisher, Published, Retention
from receiver.bus.keys import KeyNames
from receiver.core.eviction import Eviction
from receiver.errors import Code, PublishError, PublishFaultError
from receiver.ingress.http.responses import BACKCHANNEL
from receiver.ingress.outbox import IN_OUTBOX, OutboxPublisher
from receiver.ingress.outbox.store import Outbox
from receiver.ops.metrics import Metrics
from receiver.ops.sections import OutboxSettings
from receiver.runtime.redis_watch import RedisWatch
from tests.support.publisher import publisher_to
from tests.support.receiver import EVENTS

if TYPE_CHECKING:
    from pathlib import Path

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock


def eviction(name: str) -> Eviction:
    """One of a user of that name."""
    return Eviction(
        id=name, tenant="t1", iss="https://op.example", sub=name, scope="user", logout_at=1, received_at=1.0
    )  # fmt: skip


UNWRITABLE = replace(eviction("bad"), sub="\ud800")
"""No text that UTF-8 can carry, so the client fails on it before Redis sees anything of the batch."""


UNSPEAKABLE = KeyNames("\ud800")
"""Key names that cannot be sent either, so that every event fails."""


async def test_one_bad_event_takes_no_other_down(
    redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Events that share a round trip with one that cannot be sent are published; that one is answered 503 and told."""
    metrics = Metrics()
    publisher = EvictionPublisher(redis_client, KeyNames(), Retention(), on_fault=metrics.publish_faults.inc)
    results = await asyncio.gather(
        *(publisher.publish(one) for one in (eviction("a"), UNWRITABLE, eviction("b"))), return_exceptions=True
    )

    assert [Published, PublishFaultError, Published] == [type(result) for result in results]
    assert isinstance(results[1], PublishFaultError)
    assert (Code.INTERNAL, 503) == (results[1].code, BACKCHANNEL[results[1].code].status)
    assert 2 == await redis_client.xlen(EVENTS)
    assert 1 == metrics.registry.get_sample_value("logout_publish_faults_total")
    [told] = [record for record in caplog.records if record.getMessage() == "publish.fault"]
    assert (logging.ERROR, {"events": 1}) == (told.levelno, told.fields)  # type: ignore[attr-defined]
    assert told.exc_info is not None


async def test_outbox_takes_what_failed_unforeseen(redis_server: EmbeddedRedis, path: Path, clock: Clock) -> None:
    """With an outbox such a failure is one more reason to take it: no logout is refused for it."""
    metrics = Metrics()
    client = redis.asyncio.Redis.from_url(redis_server.url)
    outbox = await Outbox.open(OutboxSettings(path=path), metrics=metrics, clock=clock)
    watch = RedisWatch(client, metrics, while_away="logouts are kept")
    await watch.check()
    publisher = EvictionPublisher(client, UNSPEAKABLE, Retention(), on_fault=metrics.publish_faults.inc)
    through_outbox = OutboxPublisher(publisher, outbox, watch, metrics=metrics, clock=clock)
    try:
        assert Published(IN_OUTBOX, duplicate=False, event_id="a") == await through_outbox.publish(eviction("a"))
        assert (1, 1) == (outbox.entries, metrics.registry.get_sample_value("logout_publish_faults_total"))
        with pytest.raises(PublishFaultError):
            await through_outbox.publish(UNWRITABLE)
        assert 1 == outbox.entries
    finally:
        await outbox.aclose()
        await client.aclose()


async def test_closed_connections_disturb_no_other(redis_client: redis.asyncio.Redis) -> None:
    """Callers that are cancelled while their batch waits leave the others' answers as they are."""
    publisher = publisher_to(redis_client)
    tasks = [asyncio.create_task(publisher.publish(eviction(f"e{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert {asyncio.CancelledError} == {type(result) for result in results[::2]}
    assert {Published} == {type(result) for result in results[1::2]}


async def test_redis_that_hangs_is_given_up_in_time(own_redis: EmbeddedRedis) -> None:
    """The time limit holds although the round trip that was begun is not over."""
    client = redis.asyncio.Redis.from_url(own_redis.url, socket_timeout=30.0)
    async with client:
        publisher = EvictionPublisher(client, KeyNames(), Retention(), durability=Durability(try_for_s=1.0))
        await publisher.publish(eviction("warm"))
        await client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        began = asyncio.get_running_loop().time()
        with pytest.raises(PublishError):
            await publisher.publish(eviction("late"))

        assert asyncio.get_running_loop().time() - began < 25.0
        await client.execute_command("CLIENT", "UNPAUSE")
        await publisher.flush()
