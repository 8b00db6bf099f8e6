"""One address that leads to another server after a failover, as with a managed Redis; connections stay open.

The old server is a replica by then, goes on answering reads, and in these tests is told of nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio

from receiver.bus.caches import cache_changes
from receiver.bus.caches.cache_changes import CacheChanges
from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.bus.link.connection import connect
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.bus.link.exchange import Exchange
from receiver.consumer import GroupSubscriber, Subscriber
from receiver.evictor import watch
from tests.chaos.proxy import Proxy
from tests.consumer.listening import eviction, noting, running
from tests.support.evictor import first_reading, start_evictor
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from receiver.consumer.reader import Reader
    from tests.support.op import OP

pytestmark = pytest.mark.topology

KEYS = KeyNames()
NOWHERE = ("127.0.0.1", 1)


class Address:
    """Leads to `old`, and after `fail_over` to `new`."""

    def __init__(self, network: Proxy, old: EmbeddedRedis, new: EmbeddedRedis) -> None:
        self._network, self._old, self._new = network, old, new
        self.url = f"redis://127.0.0.1:{network.port}/0"

    async def fail_over(self, *, quietly: bool = False) -> None:
        """The new server takes over, with the old one's data.

        Args:
            quietly: Whether connections are made anew to the old one first, when it is a replica already: no command
                that was under way tells of it.
        """
        async with self.client(self._old) as old, self.client(self._new) as new:
            await old.config_set("repl-diskless-sync-delay", 0)
            await new.replicaof("127.0.0.1", self._old.port)
            await until(lambda: self._is_in_step(new))
            await new.replicaof("NO", "ONE")
            await old.replicaof(*NOWHERE)
            if quietly:
                await self._network.cut()
                before = await self._reads(old)
                await until(lambda: self._is_read(old, before))
        self._network.lead_to(self._new.port)

    async def publish(self, name: str) -> None:
        """At the new server."""
        async with self.client(self._new) as new:
            await EvictionPublisher(new, KEYS, Retention()).publish(eviction(name))

    async def events(self) -> int:
        """How many the new server has."""
        async with self.client(self._new) as new:
            return int(await new.xlen(KEYS.events))

    async def listening(self) -> int:
        """How many patterns of channels are listened to at the new server."""
        async with self.client(self._new) as new:
            return int(await new.pubsub_numpat())

    @staticmethod
    def client(server: EmbeddedRedis) -> redis.asyncio.Redis:
        """Of one of them."""
        return redis.asyncio.Redis.from_url(server.url)

    async def _is_read(self, old: redis.asyncio.Redis, before: int) -> bool:
        return await self._reads(old) > before

    @staticmethod
    async def _reads(old: redis.asyncio.Redis) -> int:
        """Commands that a listener reads with, or tries first."""
        said: Any = await old.info("commandstats")
        of_reading = (said.get(f"cmdstat_{name}", {}) for name in ("xread", "xrevrange", "zrem"))
        return sum(int(stat.get("calls", 0)) + int(stat.get("rejected_calls", 0)) for stat in of_reading)

    @staticmethod
    async def _is_in_step(new: redis.asyncio.Redis) -> bool:
        said: Any = await new.info("replication")
        return bool(said["master_link_status"] == "up")


@pytest.fixture
def servers() -> Iterator[tuple[EmbeddedRedis, EmbeddedRedis]]:
    """Two of the test's own."""
    with EmbeddedRedis() as old, EmbeddedRedis() as new:
        yield old, new


@pytest.fixture
async def address(servers: tuple[EmbeddedRedis, EmbeddedRedis]) -> AsyncIterator[Address]:
    """It leads to the first one."""
    async with Proxy(servers[0].port) as network:
        yield Address(network, *servers)


async def test_publishing(address: Address) -> None:
    """The next event is taken by the server that took over, with the connection that was open."""
    client = connect(address.url, timeout_s=5.0)
    publisher = EvictionPublisher(client, KEYS, Retention())
    await publisher.publish(eviction("e1"))
    await address.fail_over()
    await publisher.publish(eviction("e2"))
    assert 2 == await address.events()
    await client.aclose()


async def test_every_connection_is_made_anew(address: Address) -> None:
    """One reply tells of it, and what only reads does not stay with the old server."""
    client = connect(address.url, timeout_s=5.0)
    reading = Exchange(client)
    await reading([("GET", "k")])
    await client.set("k", "old")
    await address.fail_over()
    await client.set("k", "new")
    assert [b"new"] == await reading([("GET", "k")])
    await reading.release()
    await client.aclose()


async def test_notifications_are_not_waited_for_there(address: Address) -> None:
    """What hears of writes to caches notices by itself, and says that it may have missed some."""
    client = connect(address.url, timeout_s=5.0)
    changes = CacheChanges([client], ["k*"])
    assert not await changes.open()
    await address.fail_over()
    await changes.be_at_primary()
    with pytest.raises(redis.ConnectionError, match="not the primary any more"):
        await changes.wait(timeout_s=60)
    await changes.aclose()
    await client.aclose()


@pytest.mark.parametrize("script", [cache_changes.WRITING_NOTHING, "#!unknown"])
async def test_a_worker_notices(
    address: Address, redis_server: EmbeddedRedis, op: OP, monkeypatch: pytest.MonkeyPatch, *, script: str
) -> None:
    """The worker that watches hears at the new server by itself, also where Redis refuses the script."""
    monkeypatch.setattr(cache_changes, "WRITING_NOTHING", script)
    monkeypatch.setattr(watch, "CHECK_S", 0.05)
    monkeypatch.setattr(watch, "PAUSE_S", 0.05)
    tenant: Any = {"name": "t1", "issuer": op.issuer, "client_ids": ["c1"]}
    cache: Any = {"name": "flask", "layout": "flask-session", "redis": {"url": address.url}}
    async with start_evictor(redis_server.url, [tenant], [cache], recheck_s=[]) as worker:
        # Nothing of the worker's own writes to the caches' Redis.
        await address.fail_over()
        await until(address.listening)
        await first_reading(worker)


@pytest.mark.parametrize("kind", [Subscriber, GroupSubscriber])
async def test_listening(address: Address, kind: type[Reader]) -> None:
    """What is published at the server that took over is heard."""
    heard: list[str] = []
    reader = noting(kind, address.url, heard)
    async with running(reader):
        await until(lambda: reader.health().hears)
        await address.fail_over()
        await address.publish("e1")
        await until(lambda: "e1" in heard)


async def test_a_replica_is_not_read_from(address: Address) -> None:
    """A listener that comes to a server that is a replica already notices by itself; later it hears at the new one."""
    heard: list[str] = []
    reader = noting(Subscriber, address.url, heard, acknowledge=False)
    async with running(reader):
        await until(lambda: reader.health().hears)
        await address.fail_over(quietly=True)
        await address.publish("e1")
        await until(lambda: "e1" in heard)
