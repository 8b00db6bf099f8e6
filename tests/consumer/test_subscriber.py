"""What an app hears: everything, in order, in every process, and when something was missed."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

from receiver.bus.keys import KeyNames
from receiver.consumer import Eviction, Subscriber, ThreadSubscriber
from receiver.tasks import cancel
from tests.consumer.listening import noting
from tests.support.waiting import until

if TYPE_CHECKING:
    import pytest
    import redis.asyncio

    from receiver.bus.events.publish import EvictionPublisher
    from receiver.bus.link.embedded import EmbeddedRedis

DEADLINE_S = 60.0


def eviction(name: str) -> Eviction:
    """An eviction told apart by its id."""
    return Eviction(id=name, tenant="t1", iss="https://op", sub="u", scope="user", logout_at=1, received_at=1.0)


def note(heard: list[str], eviction: Eviction) -> None:
    """A handler."""
    heard.append(eviction.id)


async def test_every_process_hears_all_in_order(redis_server: EmbeddedRedis, publisher: EvictionPublisher) -> None:
    """Two subscribers each get every eviction, in the order of publishing."""
    heard: dict[str, list[str]] = {"portal": [], "orders": []}
    tasks = [
        asyncio.create_task(Subscriber(redis_server.url, partial(note, heard[app]), app=app).run()) for app in heard
    ]
    names = [f"e{number}" for number in range(20)]

    await asyncio.gather(*(publisher.publish(eviction(name)) for name in names))
    await until(lambda: all(len(ids) == len(names) for ids in heard.values()))

    await cancel(*tasks)
    assert {"portal": names, "orders": names} == heard


async def test_failing_handler_does_not_end_it(
    redis_server: EmbeddedRedis, publisher: EvictionPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in the app's handler is logged, and the next eviction is handled."""
    heard: list[str] = []

    async def handler(event: Eviction) -> None:
        heard.append(event.id)
        if event.id == "bad":
            raise RuntimeError("the app's fault")

    task = asyncio.create_task(Subscriber(redis_server.url, handler, app="portal").run())
    for name in ("bad", "good"):
        await publisher.publish(eviction(name))
    await until(lambda: heard == ["bad", "good"])
    await cancel(task)

    assert "portal: handler failed" in caplog.text


async def test_missed_entries_are_told(
    redis_server: EmbeddedRedis, publisher: EvictionPublisher, redis_client: redis.asyncio.Redis
) -> None:
    """When entries were trimmed before they were read, the app is told to flush, then goes on."""
    heard: list[str] = []
    subscriber = noting(Subscriber, redis_server.url, heard)
    await publisher.publish(eviction("first"))
    task = asyncio.create_task(subscriber.run())
    await until(lambda: heard == ["first"])
    await cancel(task)
    for name in ("lost", "last"):
        await publisher.publish(eviction(name))
    await redis_client.xtrim(KeyNames().events, maxlen=1, approximate=False)

    task = asyncio.create_task(subscriber.run())
    await until(lambda: "last" in heard)
    await cancel(task)

    assert ["first", "reset", "last"] == heard


async def test_thread_for_apps_without_a_loop(redis_server: EmbeddedRedis, publisher: EvictionPublisher) -> None:
    """`ThreadSubscriber` calls a plain handler in its own thread and stops when told."""
    heard = threading.Event()
    names: list[str] = []

    def handler(event: Eviction) -> None:
        names.append(event.id)
        heard.set()

    subscriber = ThreadSubscriber(redis_server.url, handler, app="portal")
    subscriber.start()
    await publisher.publish(eviction("one"))
    assert await asyncio.to_thread(heard.wait, DEADLINE_S)
    await asyncio.to_thread(subscriber.stop)

    assert ["one"] == names
    assert "evictions-portal" not in [thread.name for thread in threading.enumerate()]


async def test_an_outage_is_waited_out(
    redis_server: EmbeddedRedis, publisher: EvictionPublisher, redis_client: redis.asyncio.Redis
) -> None:
    """A subscriber whose connection is cut reads on from where it was."""
    heard: list[str] = []
    task = asyncio.create_task(Subscriber(redis_server.url, lambda e: heard.append(e.id), app="portal").run())
    await publisher.publish(eviction("before"))
    await until(lambda: heard == ["before"])
    await redis_client.client_kill_filter(_type="normal", skipme=True)

    await publisher.publish(eviction("after"))
    await until(lambda: heard == ["before", "after"])
    await cancel(task)
