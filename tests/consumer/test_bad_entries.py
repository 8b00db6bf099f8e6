"""A stream entry that no publisher of ours writes ends no listener, resets none, and hides no logout after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events.groups import HANDED_BACK
from receiver.bus.events.stream import Entry
from receiver.bus.keys import KeyNames
from receiver.consumer import Eviction, GroupSubscriber, Subscriber, ThreadGroupSubscriber, ThreadSubscriber
from receiver.consumer.group import MAX_HAND_OVERS
from tests.consumer.listening import eviction, running, told
from tests.support.bad_entries import ALL, EVENTS, IN_BETWEEN, NUMBERS, OTHER_TYPE, TOLERATED, Bad
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.events.publish import EvictionPublisher
    from receiver.bus.link.embedded import EmbeddedRedis

KEYS = KeyNames()
KINDS = [Subscriber, ThreadSubscriber, GroupSubscriber, ThreadGroupSubscriber]
LISTENERS = [Subscriber, ThreadSubscriber]
GROUPS = [GroupSubscriber, ThreadGroupSubscriber]


class Heard:
    """What the app was told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.evictions: list[Eviction] = []

    def handler(self, event: Eviction) -> None:
        """Note an eviction."""
        self.evictions.append(event)
        self.told.append(event.id)

    def on_reset(self) -> None:
        """Note a reset."""
        self.told.append("reset")


@contextlib.asynccontextmanager
async def listening(kind: Any, url: str, heard: Heard, **options: Any) -> AsyncIterator[Any]:
    """A consumer of this kind runs for as long as the block."""
    consumer = kind(url, heard.handler, app="portal", on_reset=heard.on_reset, **options)
    if isinstance(consumer, Subscriber | GroupSubscriber):
        async with running(consumer):
            yield consumer
    else:
        consumer.start()
        try:
            yield consumer
            await told(consumer._reader)
        finally:
            await asyncio.to_thread(consumer.stop)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("bad", [*ALL, *TOLERATED], ids=lambda bad: bad.name.replace(" ", "_"))
async def test_what_comes_after_is_heard(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    publisher: EvictionPublisher,
    caplog: pytest.LogCaptureFixture,
    *,
    kind: type,
    bad: Bad,
) -> None:
    """The logouts before and after are heard, there is no reset, the entry is counted and named in the log."""
    heard = Heard()
    with caplog.at_level(logging.WARNING, "receiver.consumer"):
        async with listening(kind, redis_server.url, heard) as consumer:
            await publisher.publish(eviction("before"))
            entry_id = await bad.add(redis_client)
            await publisher.publish(eviction("after"))
            await until(lambda: "after" in heard.told)

    assert ["before", *[IN_BETWEEN] * bad.heard, "after"] == heard.told
    wrong = bad not in TOLERATED
    assert wrong == consumer.skipped
    assert wrong == any(entry_id in record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert "https://op" not in caplog.text


@pytest.mark.parametrize("kind", LISTENERS, ids=lambda kind: kind.__name__)
async def test_all_at_once(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher, kind: type
) -> None:
    """Any number of such entries together are no gap, and a gap behind them is told."""
    heard = Heard()
    async with listening(kind, redis_server.url, heard) as consumer:
        await publisher.publish(eviction("before"))
        for bad in ALL:
            await bad.add(redis_client)
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard.told)
        assert "reset" not in heard.told
        await redis_client.incrby(KEYS.sequence, len(ALL))
        await publisher.publish(eviction("last"))
        await until(lambda: "last" in heard.told)
    assert ["after", "reset", "last"] == heard.told[-3:]
    assert len(ALL) == consumer.skipped


@pytest.mark.parametrize("kind", GROUPS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("bad", EVENTS, ids=lambda bad: bad.name.replace(" ", "_"))
async def test_a_group_keeps_what_it_cannot_read(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    publisher: EvictionPublisher,
    *,
    kind: type,
    bad: Bad,
) -> None:
    """An entry that is no event goes to the dead letters at once, and is acknowledged there."""
    heard = Heard()
    async with listening(kind, redis_server.url, heard):
        entry_id = await bad.add(redis_client)
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard.told)
    [letter] = [json.loads(text) for text in await redis_client.lrange(KEYS.dead_letters("portal"), 0, -1)]
    assert (entry_id, 1) == (letter["entry_id"], letter["tries"])
    # A worker that is ended between handling the next one and acknowledging it leaves that one to others.
    assert [] == await redis_client.xpending_range(KEYS.events, "portal", entry_id, entry_id, 1)


@pytest.mark.parametrize("kind", GROUPS, ids=lambda kind: kind.__name__)
async def test_a_groups_numbering_outlives_its_workers(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher, kind: type
) -> None:
    """Workers that come after entries without numbers see no gap where there is none, and one where there is."""
    heard = Heard()
    corrupted = [bad for bad in NUMBERS if bad.uses_number][:3]
    async with listening(kind, redis_server.url, heard):
        await publisher.publish(eviction("before"))
        for bad in corrupted:
            await bad.add(redis_client)
        await until(lambda: len(heard.told) == 1 + len(corrupted))
    async with listening(kind, redis_server.url, heard):
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard.told)
        assert "reset" not in heard.told
        await redis_client.incr(KEYS.sequence)
        await publisher.publish(eviction("last"))
        await until(lambda: "last" in heard.told)
    assert ["after", "reset", "last"] == heard.told[-3:]


async def test_an_older_versions_note_counts_alone(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """Where a worker of an older version has read on, entries without a number before that excuse no gap."""
    heard = Heard()
    async with listening(GroupSubscriber, redis_server.url, heard):
        await publisher.publish(eviction("before"))
        await until(lambda: heard.told == ["before"])
    await redis_client.hset(KEYS.group("portal"), mapping={"unnumbered": "7 5"})
    await redis_client.incr(KEYS.sequence)
    async with listening(GroupSubscriber, redis_server.url, heard):
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard.told)
    assert ["before", "reset", "after"] == heard.told


@pytest.mark.parametrize("field", ["n", "unnumbered", "resets", "lease", "generation", "reset"])
async def test_a_groups_state_may_be_damaged(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher, field: str
) -> None:
    """What cannot be read in the group's own state costs a reset at most; what is published is handled."""
    heard = Heard()
    async with listening(GroupSubscriber, redis_server.url, heard):
        await publisher.publish(eviction("before"))
        await until(lambda: heard.told == ["before"])
        await redis_client.hset(KEYS.group("portal"), mapping={field: b"abc\xff"})
        await redis_client.incr(KEYS.sequence)
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard.told)
    # One reset for the damage and one for the gap, where the worker reads before the next event; else one for both.
    assert ("before", {"reset"}, "after") == (heard.told[0], set(heard.told[1:-1]), heard.told[-1])
    assert len(heard.told) <= 4


async def test_another_type_waits_for_a_worker_that_knows_it(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    publisher: EvictionPublisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker leaves an event of another type to a newer one, which handles it however often it was handed over."""
    heard = Heard()
    async with listening(GroupSubscriber, redis_server.url, heard, min_idle_s=0.2, max_tries=1) as worker:
        entry_id = await OTHER_TYPE.add(redis_client)
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard.told)

        async def handed_over_twice() -> bool:
            [waiting] = await redis_client.xpending_range(KEYS.events, "portal", entry_id, entry_id, 1)
            return int(waiting["times_delivered"]) >= HANDED_BACK + 2

        await until(handed_over_twice)
        assert 1 == worker.skipped
    assert 0 == await redis_client.llen(KEYS.dead_letters("portal"))

    monkeypatch.setattr("receiver.core.eviction.EVENT_TYPE", "logout-receiver.eviction.v9")
    newer: list[bytes] = []

    def read(entry: Entry) -> Eviction:
        newer.append(entry.event)
        return eviction("v9")

    monkeypatch.setattr("receiver.bus.events.stream.Entry.eviction", read)

    async def acknowledged() -> bool:
        return [] == await redis_client.xpending_range(KEYS.events, "portal", entry_id, entry_id, 1)

    async with listening(GroupSubscriber, redis_server.url, heard, max_tries=1):
        await until(lambda: "v9" in heard.told)
        await until(acknowledged)
    assert ["after", "v9"] == heard.told


async def test_another_type_becomes_a_dead_letter(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    publisher: EvictionPublisher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When no worker came that knows it, it is a dead letter and an error in the log; others are handled meanwhile."""
    heard = Heard()
    async with listening(GroupSubscriber, redis_server.url, heard, min_idle_s=0.2, max_tries=1_000_000):
        entry_id = await OTHER_TYPE.add(redis_client)
        await publisher.publish(eviction("before"))
        await until(lambda: heard.told == ["before"])
        await redis_client.xclaim(
            KEYS.events, "portal", "other", 0, [entry_id], retrycount=HANDED_BACK + MAX_HAND_OVERS, justid=True
        )

        async def is_dead_letter() -> bool:
            return bool(await redis_client.llen(KEYS.dead_letters("portal")))

        await until(is_dead_letter)
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard.told)
    [letter] = [json.loads(text) for text in await redis_client.lrange(KEYS.dead_letters("portal"), 0, -1)]
    assert entry_id == letter["entry_id"]
    assert "logout-receiver.eviction.v9" in letter["event"]
    assert any("dead letter" in record.getMessage() for record in caplog.records if record.levelname == "ERROR")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_a_fault_of_ours_ends_no_listener(
    redis_server: EmbeddedRedis,
    publisher: EvictionPublisher,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    kind: type,
) -> None:
    """What is not foreseen is logged with its traceback, and reading goes on where it was."""
    read, faults = Entry.eviction, ["once"]

    def eviction_of(entry: Entry) -> Eviction:
        if faults:
            raise AssertionError(faults.pop())
        return read(entry)

    monkeypatch.setattr(Entry, "eviction", eviction_of)
    heard = Heard()
    async with listening(kind, redis_server.url, heard):
        for name in ("one", "two"):
            await publisher.publish(eviction(name))
        await until(lambda: sorted(heard.told) == ["one", "two"])
    assert "AssertionError: once" in caplog.text


@pytest.mark.parametrize(
    ("named", "scope"),
    [
        ({"sub": "u", "sid": "s"}, "session"),
        ({"sub": None, "sid": "s"}, "session"),
        ({"sub": "u", "sid": None}, "user"),
    ],
)
def test_an_unknown_scope_gives_way_to_what_is_named(named: dict[str, str | None], scope: str) -> None:
    """The session where there is a `sid`, else the user."""
    shape = json.loads(eviction("e").to_json())
    shape["data"] |= {"scope": "device", **named}
    assert scope == Eviction.from_json(json.dumps(shape)).scope


def test_an_unknown_input_and_reach() -> None:
    """An unknown `input` is kept as it is; an unknown `applies_to` concerns every client."""
    shape = json.loads(eviction("e").to_json())
    shape["data"] |= {"input": "carrier-pigeon", "applies_to": "group"}
    read = Eviction.from_json(json.dumps(shape))
    assert ("carrier-pigeon", "tenant") == (read.input, read.applies_to)
