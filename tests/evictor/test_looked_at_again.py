"""A logout that waited for a cache to be known looks at the index again: by all it has learnt of its user by then."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.watched import Watched
from receiver.core.eviction import Eviction
from receiver.evictor import coverage
from tests.evictor.rig import FLASK, NODE, WEB, Work, another_worker, register
from tests.evictor.test_coverage import session
from tests.evictor.written import dumped, tokens
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.evictor.worker import Worker
    from tests.support.op import OP

HOME = "0a0a.7b7b"


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Until it is set no worker says what it hears."""
    gate = asyncio.Event()
    say = Watched.say

    async def told(self: Watched, heard: Collection[str], unheard: Collection[str]) -> None:
        if gate.is_set():
            await say(self, heard, unheard)

    monkeypatch.setattr(Watched, "say", told)
    monkeypatch.setattr(coverage, "ASK_S", 0.02)
    monkeypatch.setattr("receiver.evictor.watch.HOLD_S", 0.05)
    return gate


def reads_for_ever(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its readings find keys that no cache has, without an end."""

    async def endless(_: str) -> AsyncIterator[list[str]]:
        while True:
            yield ["another program's"]
            await asyncio.sleep(0)

    for store in worker.watcher._stores():
        monkeypatch.setattr(store, "scan", endless)


async def test_another_worker_says_that_it_hears(
    work: Work, redis_server: EmbeddedRedis, op: OP, mute: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for a reading of its own ends, the reading too, and what the other one has learnt is removed."""
    async with work(FLASK) as world, another_worker(redis_server, world, FLASK, read_within_s=8) as second:
        reads_for_ever(second, monkeypatch)
        # No mark: what is removed is what this worker finds.
        eviction = Eviction(id="e1", tenant="t1", iss=op.issuer, sid="s1", scope="session", logout_at=world.now,
                            received_at=world.now)  # fmt: skip
        evicting = asyncio.create_task(second.evictor.evict(eviction))
        await until(functools.partial(_waits, second))
        await world.redis.set("session:a", session(world, "s1"))
        await world.watched("session:")
        mute.set()

        assert frozenset() == await evicting
        assert await world.gone("session:a")
        await until(functools.partial(_reads_nothing, second))


async def _waits(worker: Worker) -> bool:
    return bool(worker.evictor._coverage.waiting)


async def _reads_nothing(worker: Worker) -> bool:
    return not worker.evictor._coverage._readings


async def test_an_account_learnt_from_what_was_removed(
    work_plain: Work, redis_client: redis.asyncio.Redis, op: OP
) -> None:
    """What the reading finds of it is removed, also where its age proves nothing."""
    caches: Any = ({**WEB, "index": False}, NODE)
    async with work_plain(*caches, of={"account_from_sub": False}) as world:
        named = tokens(op.issuer, sub="a-sub", account=HOME, sid="s8")
        await world.put_data("web:x", dumped(named))
        await redis_client.set("node:obo", dumped(tokens(op.issuer, sub="b-sub", account=HOME, client="c2", sid="s9",
                                                         cached_at=world.now)))  # fmt: skip
        await register(world, "web:x", sub="a-sub")
        await world.log_out_user("a-sub")
        assert set() == await world.keys()
