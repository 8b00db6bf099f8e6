"""Metrics of acknowledgements: counted once over all receivers, silence and lag visible in each."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events import acks
from receiver.bus.events.publish import Retention
from receiver.bus.keys import KeyNames
from receiver.consumer import GroupSubscriber
from receiver.ingress import ack_watch
from receiver.ingress.ack_watch import AckWatch
from receiver.ops.metrics import Metrics
from receiver.tasks import cancel
from tests.consumer.listening import eviction, running
from tests.support.publisher import publisher_to
from tests.support.receiver import start_receiver, t1
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

KEYS = KeyNames()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """A sample; None when there is none."""
    return metrics.registry.get_sample_value(name, labels)


def watch_of(client: redis.asyncio.Redis, *declared: str) -> tuple[AckWatch, Metrics]:
    """A watch and what it writes to."""
    metrics = Metrics()
    limits = Retention(max_events=10)
    return AckWatch(client, KEYS, metrics, declared=declared, seen_s=86_400, retention=limits), metrics


async def speaks(client: redis.asyncio.Redis, app: str, *events: str) -> None:
    """A process of this app acknowledges these events, received 2 s ago."""
    said = [acks.Ack(name, "9999999999999-0", time.time() - 2, 0.0) for name in events]
    await acks.acknowledge(client, KEYS, acks.AckSource(app, "w", None, -60), said, now=0.0)


async def test_counted_once_by_two_receivers(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Twenty acknowledgements and two running receivers: twenty observations in all."""
    monkeypatch.setattr(ack_watch, "TAKE_EVERY_S", 0.01)

    async with (
        start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as one,
        start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as two,
    ):

        def counted() -> float:
            found = [value(r.server.metrics, "logout_evicted_seconds_count", app="portal") for r in (one, two)]
            return sum(count or 0 for count in found)

        for number in range(20):
            await speaks(redis_client, "portal", f"e{number}")
        await until(lambda: counted() >= 20)
        await speaks(redis_client, "portal", "last")
        await until(lambda: counted() >= 21)

        assert 21 == counted()
        sums = [value(r.server.metrics, "logout_evicted_seconds_sum", app="portal") for r in (one, two)]
        assert sum(seconds or 0 for seconds in sums) == pytest.approx(42, abs=15)


async def test_silence_is_visible(redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture) -> None:
    """A declared app that never spoke and one that stopped are silent; one that speaks is not; back is back."""
    watch, metrics = watch_of(redis_client, "billing")
    await speaks(redis_client, "portal")
    await speaks(redis_client, "orders")
    await redis_client.zadd(KEYS.instances, {"orders/w": (time.time() - 120) * 1000})
    await watch.sample()

    silent = {app: value(metrics, "logout_app_silent", app=app) for app in ("billing", "orders", "portal")}
    assert {"billing": 1, "orders": 1, "portal": 0} == silent
    assert value(metrics, "logout_app_last_seen_timestamp_seconds", app="billing") is None
    assert value(metrics, "logout_app_last_seen_timestamp_seconds", app="portal") == pytest.approx(time.time(), abs=5)
    assert ["app.silent", "app.silent"] == [record.getMessage() for record in caplog.records]

    await speaks(redis_client, "billing")
    await redis_client.zadd(KEYS.instances, {"orders/w": (time.time() - 2 * 86_400) * 1000})
    await watch.sample()
    assert 0 == value(metrics, "logout_app_silent", app="billing")
    assert value(metrics, "logout_app_silent", app="orders") is None


async def test_old_instances_are_forgotten(redis_client: redis.asyncio.Redis) -> None:
    """Who was not heard of for as long as acknowledgements are kept leaves the list."""
    watch, _ = watch_of(redis_client)
    await speaks(redis_client, "portal")
    await redis_client.zadd(KEYS.instances, {"gone/w": 1000})
    await redis_client.zadd(KEYS.instances_since, {"gone/w": 1})
    await watch.sample()

    assert ["portal"] == [instance.app for instance in await acks.instances(redis_client, KEYS)]
    assert [b"portal/w"] == await redis_client.zrange(KEYS.instances_since, 0, -1)


async def test_labels_are_bounded(redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps name themselves; beyond the limit they share a label, declared ones never do."""
    monkeypatch.setattr(ack_watch, "MAX_APPS", 3)
    watch, metrics = watch_of(redis_client, "declared")
    for number in range(10):
        await speaks(redis_client, f"app{number}", "e1")
    await speaks(redis_client, "declared", "e1")
    await watch.take()
    await watch.sample()

    assert 7 == value(metrics, "logout_evicted_seconds_count", app="other")
    assert 1 == value(metrics, "logout_evicted_seconds_count", app="declared")
    assert 0 == value(metrics, "logout_app_silent", app="other")


async def test_groups_lag(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """What a group has not handled, and what it has set aside; a group that is gone leaves no series."""
    watch, metrics = watch_of(redis_client)
    publisher = publisher_to(redis_client)

    def handler(event: Any) -> None:
        if event.id == "bad":
            raise RuntimeError("the app's fault")

    async def set_aside() -> bool:
        return bool(await redis_client.llen(KEYS.dead_letters("portal")))

    async with running(GroupSubscriber(redis_server.url, handler, app="portal", max_tries=1)):
        for name in ("good", "bad"):
            await publisher.publish(eviction(name))
        await until(set_aside)
    for number in range(5):
        await publisher.publish(eviction(f"unread{number}"))
    await watch.sample()
    assert 5 == value(metrics, "logout_group_lag", group="portal")
    assert 1 == value(metrics, "logout_group_set_aside", group="portal")
    assert 0.5 == value(metrics, "logout_group_room_used_ratio", group="portal")
    assert 0 == value(metrics, "logout_group_handled_per_second", group="portal")
    assert float("inf") == value(metrics, "logout_group_left_seconds", group="portal")

    await redis_client.xgroup_destroy(KEYS.events, "portal")
    await watch.sample()
    assert value(metrics, "logout_group_lag", group="portal") is None


async def test_an_outage_is_waited_out(
    redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis refuses there is one warning; afterwards counting goes on."""
    monkeypatch.setattr(ack_watch, "TAKE_EVERY_S", 0.01)
    watch, metrics = watch_of(redis_client)
    await redis_client.set(KEYS.acks, "not a list")
    task = asyncio.create_task(watch.watch())
    await until(lambda: "acks.unavailable" in caplog.text)
    await redis_client.delete(KEYS.acks)
    await speaks(redis_client, "portal", "e1")
    await until(lambda: value(metrics, "logout_evicted_seconds_count", app="portal") == 1)
    await cancel(task)
    assert 1 == caplog.text.count("acks.unavailable")


async def test_many_are_taken_in_several_round_trips(redis_client: redis.asyncio.Redis) -> None:
    """In one they would hold the event loop, and Redis, while logouts wait; all of one look are counted, and expire."""
    names = [f"e{number}" for number in range(250)]
    await speaks(redis_client, "portal", *names)
    watch, metrics = watch_of(redis_client)
    await redis_client.config_resetstat()
    await watch.take()

    said: Any = await redis_client.info("commandstats")
    assert 3 == said["cmdstat_lpop"]["calls"]
    assert 250 == value(metrics, "logout_evicted_seconds_count", app="portal")
    lifetimes = [await redis_client.ttl(KEYS.acks_of(name)) for name in names]
    assert acks.KEEP_S - 60 < min(lifetimes) <= max(lifetimes) <= acks.KEEP_S


async def test_after_an_overflow_nothing_is_kept_for_ever(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledgements whose lines left the list while no receiver ran expire like the others."""
    monkeypatch.setattr(acks, "MAX_ACKS", 20)
    monkeypatch.setattr(acks, "PAGE", 7)
    publisher = publisher_to(redis_client)
    names = [f"e{number}" for number in range(50)]
    for name in names:
        await publisher.publish(eviction(name))
    await redis_client.xadd(KEYS.events, {"event": "none"})
    await speaks(redis_client, "portal", *names)
    assert 20 == await redis_client.llen(KEYS.acks)

    watch, _ = watch_of(redis_client)
    await watch.take()
    await watch.sample()

    lifetimes = [await redis_client.ttl(KEYS.acks_of(name)) for name in names]
    assert acks.KEEP_S - 60 < min(lifetimes) <= max(lifetimes) <= acks.KEEP_S
