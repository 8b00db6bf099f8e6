"""Consumers with exactly the rights on the page, and with those the page gave before: no right to the sequence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.consumer import GroupSubscriber, Subscriber
from tests.consumer.listening import eviction, noting, running
from tests.consumer.test_trimmed_in_hand import SERVERS
from tests.docs.pages import blocks, read
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = KeyNames()
KINDS = {"listener": Subscriber, "worker": GroupSubscriber}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    """A Redis of each version there is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("receiver.bus.link.embedded.find_redis_server", lambda: SERVERS[request.param])
        with EmbeddedRedis() as running_server:
            yield running_server


@pytest.mark.parametrize("earlier", [False, True], ids=["today", "before"])
@pytest.mark.parametrize("user", KINDS)
async def test_rights_are_enough(server: EmbeddedRedis, user: str, *, earlier: bool) -> None:
    """It hears, acknowledges, is told of a gap, and goes on after Redis lost everything."""
    client = redis.asyncio.Redis.from_url(server.url)
    await client.flushall()
    [page] = blocks(read("events.md"), "redis-acl")
    [rights] = re.findall(rf"^ACL SETUSER {user} (.*)$", page, re.MULTILINE)
    if earlier:
        rights = rights.replace(" ~{logout}:sequence", "").replace(" +get ", " ")
    await client.execute_command("ACL", "SETUSER", user, "reset", *rights.split())
    publisher = publisher_to(client)
    heard: list[str] = []
    url = server.url.replace("redis://", f"redis://{user}:secret@")

    async def acknowledged() -> bool:
        return bool(await client.exists(KEYS.acks_of("first")))

    consumer = noting(KINDS[user], url, heard)
    async with running(consumer):
        await publisher.publish(eviction("first"))
        await until(lambda: heard == ["first"])
        await until(acknowledged)
        await client.incr(KEYS.sequence)
        await publisher.publish(eviction("second"))
        await until(lambda: heard == ["first", "reset", "second"])
        await client.flushall()
        await publisher.publish(eviction("third"))
        await until(lambda: "third" in heard)
    assert ["first", "reset", "second", "reset", "third"] == heard
    await client.aclose()
