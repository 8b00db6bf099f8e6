"""`receiver apps`: which apps listen, and forgetting one that is gone for good."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from receiver.bus.events import acks
from receiver.bus.events.event_search import NotFound, find
from receiver.bus.events.trace import LIVE_S, trace
from receiver.bus.keys import KeyNames
from tests.consumer.listening import eviction
from tests.diagnosis.conftest import Command, write_config
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

KEYS = KeyNames()


@pytest.fixture
def config(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, tmp_path: Path, op: OP) -> str:
    """Settings that name the suite's Redis, emptied."""
    del redis_client
    return str(write_config(tmp_path, op, redis_url=redis_server.url))


async def heard_of(client: redis.asyncio.Redis, member: str, seconds_ago: float) -> None:
    """An instance as its signs of life leave it."""
    await client.zadd(KEYS.instances, {member: (time.time() - seconds_ago) * 1000})
    await client.zadd(KEYS.instances_since, {member: (time.time() - seconds_ago - 3600) * 1000})


async def test_app_that_is_gone(command: Command, config: str, redis_client: redis.asyncio.Redis) -> None:
    """A script that ran once is waited for, until it is forgotten: then the user is out everywhere."""
    published = await publisher_to(redis_client).publish(eviction("e1", time.time()))
    await acks.acknowledge(
        redis_client, KEYS, acks.AckSource("portal", "w1", None, -60), [acks.Ack("e1", published.entry_id, 1.0, 0.0)],
        now=0.0,
    )  # fmt: skip
    await heard_of(redis_client, "script/w2", LIVE_S + 1)

    async def complete() -> bool:
        found = await find(redis_client, KEYS, "e1", ())
        assert not isinstance(found, NotFound)
        traced = await trace(redis_client, KEYS, found, now_s=time.time(), declared=(), seen_within_s=86_400)
        return traced.complete

    assert not await complete()
    done = await command("apps", "forget", "script", "--config", config)
    assert (0, "") == (done.code, done.err)
    assert await complete()
    assert ["portal"] == [instance.app for instance in await acks.instances(redis_client, KEYS)]


async def test_app_that_listens_is_kept(command: Command, config: str, redis_client: redis.asyncio.Redis) -> None:
    """Its silent instances go, those that live stay, and the command says so."""
    await heard_of(redis_client, "portal/w1", LIVE_S + 1)
    await heard_of(redis_client, "portal/w2", 0)

    kept = await command("apps", "forget", "portal", "--config", config)

    assert (1, True) == (kept.code, "stop them first" in kept.err)
    assert ["w2"] == [instance.instance for instance in await acks.instances(redis_client, KEYS)]


async def test_list(command: Command, config: str, redis_client: redis.asyncio.Redis) -> None:
    """Names, numbers and times, for a reader and for a program."""
    await heard_of(redis_client, "portal/w1", 0)
    await heard_of(redis_client, "portal/w2", 5)

    text, data = (
        await command("apps", "list", "--config", config),
        await command("apps", "list", "--config", config, "--json"),
    )

    assert "2 instances" in text.out
    [app] = data.json
    assert ("portal", False, 2) == (app["app"], app["declared"], app["instances"])


@pytest.mark.parametrize("score", [1e300, -1e300, 1e17])
async def test_list_with_a_time_that_is_no_date(
    command: Command, config: str, redis_client: redis.asyncio.Redis, score: float
) -> None:
    """An instance that something else noted hides no app."""
    await heard_of(redis_client, "portal/w1", 0)
    await redis_client.zadd(KEYS.instances, {"script/w2": score})

    text = await command("apps", "list", "--config", config)

    assert ["portal", "script"] == [line.split()[0] for line in text.out.splitlines()]


async def test_nothing_to_tell(command: Command, config: str, tmp_path: Path, op: OP) -> None:
    """No app, an unknown one, no Redis: each said in one line."""
    empty = await command("apps", "list", "--config", config)
    unknown = await command("apps", "forget", "portal", "--config", config)
    embedded = await command("apps", "list")
    away = str(write_config(tmp_path, op))
    nowhere = [await command("apps", *what, "--config", away) for what in (("list",), ("forget", "portal"))]

    assert (0, "No app was ever heard of.\n") == (empty.code, empty.out)
    assert (1, 2) == (unknown.code, embedded.code)
    assert "no app portal is known" in unknown.err
    assert [1, 1] == [ran.code for ran in nowhere]
    assert all("Redis" in ran.err or "cannot" in ran.err for ran in nowhere)
