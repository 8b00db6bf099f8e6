"""Caches spread over the nodes of a Cluster, cleared by a real evictor; the events are on the same Cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.caches.cache_cluster import ClusterCacheStore, connect_cluster
from receiver.bus.link.connection import connect
from tests.support.evictor import start_evictor
from tests.support.receiver import start_receiver, t1
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.clock import Clock
    from tests.support.op import OP
    from tests.topologies.servers import Cluster

pytestmark = pytest.mark.topology

PREFIX = "clustered:"
USERS = [f"user-{number}.tenant" for number in range(12)]


def blob(op: OP, clock: Clock, account: str, auth_time: float | None = None) -> bytes:
    """A cache with one sign-in, whose subject is not the account."""
    entry: dict[str, Any] = {"home_account_id": account, "environment": "op.example", "client_id": "c1"}
    claims: dict[str, Any] = {"iss": op.issuer, "aud": "c1", "sub": f"pairwise-{account}", "sid": f"sid-{account}"}
    claims["auth_time"] = int(auth_time or clock() - 60)
    id_token = op.token(**claims)
    return json.dumps(
        {
            "AccessToken": {f"{account}-at": {**entry, "secret": "at", "cached_at": str(int(clock()) - 60)}},
            "RefreshToken": {f"{account}-rt": {**entry, "secret": "rt"}},
            "IdToken": {f"{account}-id": {**entry, "secret": id_token}},
            "Account": {f"{account}-a": entry},
        }
    ).encode()


@pytest.fixture
async def caches(cluster: Cluster) -> AsyncIterator[redis.asyncio.RedisCluster]:
    nodes = [redis.asyncio.cluster.ClusterNode("127.0.0.1", node.port) for node in cluster.primaries]
    client = redis.asyncio.RedisCluster(startup_nodes=nodes)
    yield client
    await client.aclose()


async def test_a_cluster_s_caches_are_found_cleared_and_watched_on_every_node(
    cluster: Cluster, caches: redis.asyncio.RedisCluster, clock: Clock, op: OP
) -> None:
    """Blobs on every node are indexed; logouts remove them; one that is written back is removed again."""
    for account in USERS:
        await caches.hset(PREFIX + account, "data", blob(op, clock, account))
    tenants = [t1(op, account_from_sub=False)]
    cache = {"name": "web", "layout": "microsoft-identity-web", "prefix": PREFIX}
    events = connect(cluster.url(), timeout_s=5)
    try:
        async with (
            start_receiver(cluster.url(), events, clock, tenants) as receiver,
            start_evictor(cluster.url(), tenants, [cache], clock=clock, recheck_s=[]),
        ):
            for account in USERS[1:]:
                answer = await receiver.post(op.token(sub=f"pairwise-{account}", sid=f"sid-{account}"))
                assert answer.status == 200

            async def gone() -> bool:
                return not any([await caches.exists(PREFIX + account) for account in USERS[1:]])

            await until(gone)
            assert await caches.exists(PREFIX + USERS[0])

            for account in USERS[1:]:
                await caches.hset(PREFIX + account, "data", blob(op, clock, account))
            await until(gone)

            await caches.hset(PREFIX + USERS[1], "data", blob(op, clock, USERS[1], auth_time=clock() + 5))
            await caches.hset(PREFIX + USERS[2], "data", blob(op, clock, USERS[2]))

            async def second_gone() -> bool:
                return not await caches.exists(PREFIX + USERS[2])

            await until(second_gone)
            assert await caches.exists(PREFIX + USERS[1])
    finally:
        await events.aclose()


async def test_sessions_of_any_fields_are_measured(cluster: Cluster, caches: redis.asyncio.RedisCluster) -> None:
    """Each hash at its own node, one that is missing too; a Cluster has no other database to look at."""
    keys = [f"session:{number}" for number in range(20)]
    for number, key in enumerate(keys):
        await caches.hset(key, mapping={"a": "x" * 1000 * number, "b": "y"})
    store = ClusterCacheStore(connect_cluster(cluster.url(), timeout_s=5.0))
    try:
        sizes = await store.sizes([*keys, "session:none"], None)
        assert sizes is not None
        assert 0 == sizes[-1]
        assert all(1000 * number < size < 1000 * number + 6000 for number, size in enumerate(sizes[:-1]))
        assert [] == await store.databases_with("session:*", steps=1)
    finally:
        await store.aclose()
        await store._cluster.aclose()
