"""A receiver whose API is on, and a caller with its token."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

TOKEN = "0123456789abcdef-first"
DEADLINE_S = 60.0


@dataclass
class Block:
    """One block of a feed: what stands between two empty lines."""

    id: str | None = None
    event: str | None = None
    data: str | None = None
    comment: bool = False
    retry: str | None = None


class Feed:
    """An open feed, read block by block."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def block(self) -> Block | None:
        """The next block; None at the end of the feed."""
        block = Block()
        async with asyncio.timeout(DEADLINE_S):
            while line := (await self.response.content.readline()).decode():
                if line == "\n":
                    return block
                name, _, value = line.rstrip("\n").partition(":")
                if name:
                    setattr(block, name, value.removeprefix(" "))
                else:
                    block.comment = True
        return None

    async def event(self) -> Block:
        """The next block that is an event."""
        while (block := await self.block()) is not None:
            if block.event is not None:
                return block
        raise AssertionError("the feed ended")

    async def events(self, count: int) -> list[Block]:
        """The next events."""
        return [await self.event() for _ in range(count)]


class Api:
    """Calls the API of one receiver."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.token = TOKEN

    async def call(self, method: str, path: str, json: Any = None, **options: Any) -> tuple[int, Any, Any]:
        """Status, JSON body and headers of the answer."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        url = self.receiver.internal + "/v1" + path
        async with self.receiver.http.request(method, url, json=json, headers=headers, **options) as response:
            return response.status, await response.json(), response.headers

    async def evict(self, sub: str = "u1", **members: Any) -> dict[str, Any]:
        """Order an eviction that is expected to be accepted."""
        status, body, _ = await self.call("POST", "/evictions", {"tenant": "t1", "sub": sub, **members})
        # Where Redis took long to say that it is done, the receiver asks again, and finds its own event.
        assert status == 202 or (status == 200 and body["duplicate"]), body
        return dict(body)

    @contextlib.asynccontextmanager
    async def feed(self, last_event_id: str | None = None, query: str = "") -> AsyncIterator[Feed]:
        """A feed that has begun."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        url = self.receiver.internal + "/v1/events" + query
        async with self.receiver.http.get(url, headers=headers, read_bufsize=2**20) as response:
            assert response.status == 200, await response.text()
            feed = Feed(response)
            first = await feed.block()
            assert first is not None
            assert first.retry
            assert first.id
            yield feed

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample."""
        return self.receiver.server.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def api(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Api]:
    """The API of a receiver for tenant t1 with client c1."""
    internal = {"token": f"{TOKEN}\n0123456789abcdef-second", "feed_heartbeat_s": 0.2, "feed_clients": 3}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], internal=internal) as receiver:
        yield Api(receiver)
