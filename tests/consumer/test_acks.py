"""Acknowledgements: what was handled is recorded, what was not is not, and nothing waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

import receiver.consumer.acks
import receiver.consumer.reader
from receiver.bus.events import acks, stream
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.consumer import Eviction, GroupSubscriber, Subscriber, ThreadSubscriber
from receiver.tasks import cancel
from tests.consumer.listening import eviction, running
from tests.support.published import entries
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    from receiver.bus.events.publish import EvictionPublisher

KEYS = KeyNames()


async def acked(client: redis.asyncio.Redis, name: str) -> list[str]:
    """Who has acknowledged this event, as `app/instance`."""
    members: list[Any] = await client.hkeys(KEYS.acks_of(name))
    return sorted(member.decode() for member in members)


async def test_both_kinds_acknowledge(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """Each process answers for itself, a group as one, and the time is when the handler had returned."""
    readers = [
        Subscriber(redis_server.url, print, app="portal"),
        Subscriber(redis_server.url, print, app="portal"),
        GroupSubscriber(redis_server.url, print, app="orders", group="shared"),
        GroupSubscriber(redis_server.url, print, app="orders", group="shared"),
    ]
    before = time.time()
    async with running(*readers):
        await publisher.publish(eviction("one", before))

        async def all_answered() -> bool:
            return len(await acked(redis_client, "one")) == 3

        await until(all_answered)
    group, *processes = await acked(redis_client, "one")
    at = [int(ms) / 1000 for ms in (await redis_client.hgetall(KEYS.acks_of("one"))).values()]

    assert "orders/@shared" == group
    assert {"portal"} == {acks.split(member)[0] for member in processes}
    assert all(before - 0.01 <= ms <= time.time() + 0.01 for ms in at)


async def test_a_handler_that_raises_is_no_proof(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """The failed eviction is not acknowledged, the next one is; switched off, none is and nobody is listed."""

    def handler(event: Eviction) -> None:
        if event.id == "bad":
            raise RuntimeError("the app's fault")

    heard: list[str] = []
    quiet = Subscriber(redis_server.url, lambda e: heard.append(e.id), app="quiet", acknowledge=False)
    async with running(Subscriber(redis_server.url, handler, app="portal"), quiet):
        for name in ("bad", "good"):
            await publisher.publish(eviction(name))

        async def answered() -> bool:
            return bool(await acked(redis_client, "good"))

        await until(answered)
        await until(lambda: heard == ["bad", "good"])
        assert {"portal"} == {instance.app for instance in await acks.instances(redis_client, KEYS)}
    assert [] == await acked(redis_client, "bad")
    assert 1 == len(await acked(redis_client, "good"))


async def test_the_first_time_counts(redis_client: redis.asyncio.Redis) -> None:
    """Handled again after a retry or a restart: the first acknowledgement stands, and is counted once."""
    listener = acks.AckSource("portal", "w1", "shared", 0.0)
    for handled_at in (10.0, 60.0):
        ack = acks.Ack("e1", "1-0", 0.0, handled_at)
        await acks.acknowledge(redis_client, KEYS, listener, [ack], now=100.0)

    [at] = await redis_client.hvals(KEYS.acks_of("e1"))
    assert 90 == pytest.approx(time.time() - int(at) / 1000, abs=1)
    taken = await acks.take(redis_client, KEYS, count=10)
    assert ["portal"] == [ack.app for ack in taken]
    assert [] == await acks.take(redis_client, KEYS, count=10)
    assert 0 < await redis_client.ttl(KEYS.acks_of("e1")) <= acks.KEEP_S


async def test_what_others_wrote_is_left_out(
    redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines that cannot be read are counted in the log; those around them are taken."""
    for line in (b"e1 5 w1 first", b"", b"abc", b"e1 5", b"e1 5 w1", b"e1 -5 w1 a", b"e1 1e400 w1 a", b"e1 1.5 w1 a",
                 b"e1 %d w1 a" % 10**30, b"\xff\xfe", b"e1 6 w1 \xff", b"e1 7 w1 last one"):  # fmt: skip
        await redis_client.rpush(KEYS.acks, line)
    taken = await acks.take(redis_client, KEYS, count=100)
    assert [("first", 0.005), ("\ufffd", 0.006), ("last one", 0.007)] == [(ack.app, ack.after_s) for ack in taken]
    assert "9 acknowledgements" in caplog.text


async def test_history_read_after_a_start_says_nothing_of_the_time(
    redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """A process that starts acknowledges what it reads again, but not as the time the app took."""
    await publisher.publish(eviction("old", time.time()))
    entry_id = (await entries(redis_client))[-1][0].decode()
    process = acks.AckSource("portal", "w1", None, 99.999)
    await acks.acknowledge(redis_client, KEYS, process, [acks.Ack("old", "1-0", 0.0, 100.0)], now=100.0)
    [late] = await acks.take(redis_client, KEYS, count=10)
    assert late.after_s is None

    there = acks.AckSource("portal", "w2", None, 0.0)
    await acks.acknowledge(redis_client, KEYS, there, [acks.Ack("old", entry_id, time.time(), 100.0)], now=100.0)
    [in_time] = await acks.take(redis_client, KEYS, count=10)
    assert in_time.after_s is not None
    assert "w1" in {instance.instance for instance in await acks.instances(redis_client, KEYS)}


async def test_sign_of_life_and_goodbye(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle consumer is seen again and again; one that stops leaves the list, its group stays on it."""
    monkeypatch.setattr(receiver.consumer.acks, "HEARTBEAT_S", 0.05)
    seen: set[float] = set()

    async def seen_thrice() -> bool:
        seen.update(i.last_seen_ms for i in await acks.instances(redis_client, KEYS) if i.app == "portal")
        return len(seen) >= 3

    async with running(
        Subscriber(redis_server.url, print, app="portal"), GroupSubscriber(redis_server.url, print, app="orders")
    ):
        await until(seen_thrice)
    assert ["@orders"] == [instance.instance for instance in await acks.instances(redis_client, KEYS)]


async def test_acks_wait_for_redis_and_nobody_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be acknowledged holds up no handler and is sent when it can be."""
    monkeypatch.setattr(receiver.consumer.acks, "RETRY_S", 0.05)
    fail = True
    acknowledge = acks.acknowledge
    sizes: list[int] = []

    async def unreliable(*arguments: object, **options: object) -> None:
        if fail:
            raise ConnectionError
        sizes.append(len(arguments[3]))  # type: ignore[arg-type]
        await acknowledge(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(acks, "acknowledge", unreliable)
    heard: list[str] = []
    with EmbeddedRedis() as server:
        client = redis.asyncio.Redis.from_url(server.url)
        publisher = publisher_to(client)
        async with running(Subscriber(server.url, lambda e: heard.append(e.id), app="portal")):
            for number in range(5):
                await publisher.publish(eviction(f"e{number}"))
            await until(lambda: len(heard) == 5)
            assert [] == await acked(client, "e0")
            fail = False

            async def answered() -> bool:
                return all([await acked(client, f"e{number}") for number in range(5)])

            await until(answered)
        await client.aclose()
    assert 5 in sizes


async def script_calls(client: redis.asyncio.Redis) -> int:
    """How often scripts were run so far."""
    told: Any = await client.info("commandstats")
    return sum(told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


async def test_while_events_stream_in_acknowledgements_wait_for_each_other(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first after a pause goes at once, those that follow go together; each with the time when it was handled."""
    monkeypatch.setattr(receiver.consumer.acks, "GATHER_S", 3600.0)
    entry = stream.Entry("1-0", 1, b"")
    listener = acks.AckSource("portal", "w1", None, time.monotonic())
    acknowledger = receiver.consumer.acks.Acknowledger(redis_client, KEYS, listener, reads=lambda: False)
    acknowledging = asyncio.create_task(acknowledger.run())
    before = await script_calls(redis_client)
    acknowledger.add(eviction("first"), entry)

    async def first_is_there() -> bool:
        return bool(await acked(redis_client, "first"))

    await until(first_is_there)
    for number in range(20):
        acknowledger.add(eviction(f"e{number}"), entry)
        # Time enough for one that is sent to arrive.
        for _ in range(3):
            await redis_client.ping()
    assert [] == await acked(redis_client, "e0")
    await cancel(acknowledging)
    await acknowledger.leave()

    assert all([await acked(redis_client, f"e{number}") for number in range(20)])
    at = [int((await redis_client.hvals(KEYS.acks_of(name)))[0]) for name in ("first", "e0", "e19")]
    assert at == sorted(at)
    # NOSCRIPT, and EVAL in its place, is one more.
    assert await script_calls(redis_client) - before <= 3


async def test_many_acknowledgements_go_in_several_round_trips(redis_client: redis.asyncio.Redis) -> None:
    """So that neither the app's event loop nor Redis is held by all of them at once; they are sent without a pause."""
    most = receiver.consumer.acks.MAX_BATCH
    listener = acks.AckSource("portal", "w1", None, time.monotonic())
    acknowledger = receiver.consumer.acks.Acknowledger(redis_client, KEYS, listener, reads=lambda: False)
    for number in range(2 * most + 1):
        acknowledger.add(eviction(f"e{number}"), stream.Entry("1-0", 1, b""))
    await acks.ACKNOWLEDGE.run(redis_client, (KEYS.acks, KEYS.instances, KEYS.instances_since), ("a", "i", "w", 0, 1))
    before = await script_calls(redis_client)
    await acknowledger.flush()

    assert most <= 100
    assert 3 == await script_calls(redis_client) - before
    assert 2 * most + 1 == await redis_client.llen(KEYS.acks)


async def test_rights_without_acknowledgements(caplog: pytest.LogCaptureFixture) -> None:
    """An app whose user may only read hears evictions all the same, with one warning."""
    heard: list[str] = []
    with EmbeddedRedis() as server:
        client = redis.asyncio.Redis.from_url(server.url)
        await client.execute_command(
            "ACL", "SETUSER", "reader", "on", ">secret", "~{logout}:events", "-@all", "+xread", "+xrevrange", "+time"
        )
        url = f"redis://reader:secret@127.0.0.1:{server.port}/0"
        async with running(Subscriber(url, lambda e: heard.append(e.id), app="portal")):
            await publisher_to(client).publish(eviction("one"))
            await until(lambda: heard == ["one"] and "cannot acknowledge" in caplog.text)
        await client.aclose()
    assert 1 == caplog.text.count("cannot acknowledge")


async def test_threads_acknowledge_too(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """A plain handler in a thread never yields; its acknowledgements are sent all the same."""
    subscriber = ThreadSubscriber(redis_server.url, lambda _: None, app="flask")
    subscriber.start()
    for number in range(3):
        await publisher.publish(eviction(f"e{number}"))

    async def answered() -> bool:
        return all([await acked(redis_client, f"e{number}") for number in range(3)])

    await until(answered)
    await asyncio.to_thread(subscriber.stop)
    assert [] == await acks.instances(redis_client, KEYS)
