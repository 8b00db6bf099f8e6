"""A stream of logouts with a failover in its middle, through a running receiver."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from redis.crc import key_slot

from receiver.bus.link.connection import connect
from receiver.consumer import Eviction, Subscriber
from receiver.tasks import cancel
from tests.support.receiver import Receiver, start_receiver, t1
from tests.topologies.servers import DEADLINE_S, Cluster, SentinelSetUp, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.support.clock import Clock
    from tests.support.op import OP

pytestmark = pytest.mark.topology

SLOT = key_slot(b"{logout}")
PATIENT: dict[str, Any] = {"wait_replicas": 1, "publish_timeout_s": 12.0, "wait_timeout_s": 0.4}


class Story:
    """A receiver, a subscriber, and what became of every token."""

    def __init__(self, receiver: Receiver, op: OP) -> None:
        self.receiver = receiver
        self.op = op
        self.statuses: dict[str, int] = {}
        self.heard: set[str | None] = set()
        self.done = False

    async def post(self, jti: str) -> None:
        self.statuses[jti] = (await self.receiver.post(self.op.token(jti=jti, sub=jti, sid=jti))).status

    async def stream_of_logouts(self, break_it: Callable[[], Awaitable[None]]) -> None:
        """Logouts without a pause, until some were accepted after the break."""
        jtis = (str(uuid.uuid4()) for _ in iter(int, 1))
        for _ in range(30):
            await self.post(next(jtis))
        self.done = False
        working = {asyncio.create_task(self._keep_posting(jtis)) for _ in range(4)}
        try:
            await break_it()
            before = len(self.statuses)
            async with asyncio.timeout(DEADLINE_S):
                while len(self.statuses) < before + 40:
                    await asyncio.sleep(0.02)
        finally:
            self.done = True
            await asyncio.gather(*working)

    async def _keep_posting(self, jtis: Any) -> None:
        while not self.done:
            await self.post(next(jtis))
            await asyncio.sleep(0.01)

    async def check(self) -> None:
        """Every 200 is in the stream exactly once and was heard; a refused one sent again gets there, too.

        A subscriber that stayed with a master that was frozen and woke up is told to drop everything instead.
        """
        for jti in [jti for jti, status in self.statuses.items() if status != 200]:
            await self.post(jti)
        assert {200} == set(self.statuses.values())
        stored = Counter(event["data"]["jti"] for event in await self.receiver.events())
        assert set(self.statuses) == set(stored)
        assert {1} == set(stored.values())
        async with asyncio.timeout(DEADLINE_S):
            while not set(self.statuses) <= self.heard:
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def story(topology: SentinelSetUp | Cluster, clock: Clock, op: OP, **settings: Any) -> AsyncIterator[Story]:
    client = connect(topology.url(), timeout_s=2)
    try:
        async with start_receiver(topology.url(), client, clock, [t1(op)], redis={**PATIENT, **settings}) as receiver:
            told = Story(receiver, op)

            def hear(eviction: Eviction) -> None:
                told.heard.add(eviction.jti)

            def drop_everything() -> None:
                told.heard |= told.statuses.keys()

            subscriber = Subscriber(topology.url(), hear, app="portal", on_reset=drop_everything)
            listening = asyncio.create_task(subscriber.run())
            try:
                yield told
            finally:
                await cancel(listening)
    finally:
        await client.aclose()


@pytest.mark.parametrize("loss", ["killed", "frozen"])
async def test_sentinel_failover(fresh_sentinel: SentinelSetUp, clock: Clock, op: OP, loss: str) -> None:
    """With a replica waited for, every logout acknowledged before, during and after a failover is kept, once."""
    set_up = fresh_sentinel

    async def lose_master() -> None:
        (set_up.master.kill if loss == "killed" else set_up.master.freeze)()
        await asyncio.to_thread(until, lambda: set_up.acting is not set_up.master)

    async with story(set_up, clock, op) as told:
        await told.stream_of_logouts(lose_master)
        # The old master thinks it still is one until a Sentinel tells it; nobody may go back to it.
        back = set_up.master.start if loss == "killed" else set_up.master.thaw
        await told.stream_of_logouts(lambda: asyncio.to_thread(back))
        await told.check()


async def test_cluster_failover(fresh_cluster: Cluster, clock: Clock, op: OP) -> None:
    """The same on a Cluster; nothing is acknowledged while the new primary has no replica."""
    lost = fresh_cluster.owner(SLOT)

    async def lose_primary() -> None:
        lost.kill()
        await asyncio.to_thread(until, lambda: fresh_cluster.owner(SLOT) is not lost)
        await asyncio.to_thread(lost.start)

    async with story(fresh_cluster, clock, op) as told:
        await told.stream_of_logouts(lose_primary)
        await told.check()


async def test_cluster_manual_failover_and_moved_slot(fresh_cluster: Cluster, clock: Clock, op: OP) -> None:
    """A planned failover, and a slot that moves to another shard, lose nothing; the client follows."""
    first = fresh_cluster.owner(SLOT)
    replica = fresh_cluster.nodes[fresh_cluster.primaries.index(first) + 3]
    target = next(node for node in fresh_cluster.primaries if node is not first)

    async def plan_failover() -> None:
        assert b"OK" == replica.ask("CLUSTER", "FAILOVER")
        await asyncio.to_thread(until, lambda: fresh_cluster.owner(SLOT) is replica)

    def move_slot() -> None:
        source_id, target_id = replica.ask("CLUSTER", "MYID"), target.ask("CLUSTER", "MYID")
        target.ask("CLUSTER", "SETSLOT", SLOT, "IMPORTING", source_id)
        replica.ask("CLUSTER", "SETSLOT", SLOT, "MIGRATING", target_id)
        while keys := replica.ask("CLUSTER", "GETKEYSINSLOT", SLOT, 100):
            replica.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, replica):
            node.ask("CLUSTER", "SETSLOT", SLOT, "NODE", target_id)
        until(lambda: fresh_cluster.owner(SLOT) is target)

    async with story(fresh_cluster, clock, op) as told:
        await told.stream_of_logouts(plan_failover)
        await told.stream_of_logouts(lambda: asyncio.to_thread(move_slot))
        await told.check()


async def test_too_few_replicas(sentinel: SentinelSetUp, clock: Clock, op: OP) -> None:
    """More replicas asked for than there are is a 503; the event is there, and sent again it is a repeat."""
    async with story(sentinel, clock, op, wait_replicas=3, publish_timeout_s=0) as told:
        jti = str(uuid.uuid4())
        refused = await told.receiver.post(token := op.token(jti=jti))
        assert (503, "publish") == (refused.status, refused.code)
        assert 503 == (await told.receiver.post(token)).status
        assert [jti] == [event["data"]["jti"] for event in await told.receiver.events()][-1:]
        await told.receiver.redis.delete("{logout}:events", "{logout}:sequence")
