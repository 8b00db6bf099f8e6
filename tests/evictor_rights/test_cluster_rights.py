"""Caches on a Redis Cluster, with exactly the rights the pages give the evictor there."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest
import redis.asyncio
from redis.asyncio.cluster import ClusterNode, RedisCluster

from tests.docs.pages import blocks, read
from tests.support.evictor import start_evictor
from tests.support.op import ABSENT, OP, encode_token
from tests.support.receiver import start_receiver, t1
from tests.topologies.servers import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock

pytestmark = pytest.mark.topology

DEADLINE_S = 20.0
USERS = [f"user{number}" for number in range(20)]
"""As many as it takes for each primary to hold some."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three primaries with the users of the pages."""
    texts = [
        *blocks(read("events.md"), "redis-acl-caches"),
        *blocks(read("redis.md"), "redis-acl-caches-cluster"),
    ]
    with Cluster(users=[line for text in texts for line in text.splitlines()]).running() as running:
        yield running


def value(op: OP, clock: Clock, user: str) -> str:
    """MSAL's cache of one user who signed in a minute ago."""
    claims = op.claims(sub=user, sid=f"s-{user}", auth_time=int(clock()) - 60)
    id_token = encode_token(op.header(typ="JWT"), claims, op.signing_key)
    entry = {"home_account_id": user, "client_id": "c1"}
    return json.dumps(
        {"RefreshToken": {"r": {**entry, "secret": "rt"}}, "IdToken": {"i": {**entry, "secret": id_token}}}
    )


@pytest.mark.usefixtures("redis_client")
async def test_rights_on_the_pages_are_enough_on_a_cluster(
    cluster: Cluster, redis_server: EmbeddedRedis, clock: Clock, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """Every primary is read and listened to: users on each of them are cleared, and cleared again."""
    first = cluster.nodes[0]
    apps = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", first.port)])
    caches = [
        {
            "name": "web", "layout": "microsoft-identity-web", "prefix": "webapps:",
            "redis": {"url": cluster.url("caches:secret@")},
        }
    ]  # fmt: skip

    async def sign_in(users: list[str]) -> None:
        for user in users:
            await apps.hset(f"webapps:{user}", mapping={"data": value(op, clock, user)})

    async def until_left(users: list[str]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while [user for user in USERS if await apps.exists(f"webapps:{user}")] != users:
                await asyncio.sleep(0.05)

    async with (
        redis.asyncio.Redis.from_url(redis_server.url) as events,
        start_receiver(redis_server.url, events, clock, [t1(op)]) as receiver,
        start_evictor(redis_server.url, [t1(op)], caches, clock=clock, recheck_s=[]) as worker,
    ):
        await sign_in(USERS)
        for user in USERS[1:]:
            assert 200 == (await receiver.post(op.token(sub=user, sid=ABSENT))).status
        await until_left(USERS[:1])
        # Nothing is looked at again, so it is heard of.
        await sign_in(USERS[1:])
        await until_left(USERS[:1])
        await worker.watcher.read_all()

        assert 1 == worker.metrics.registry.get_sample_value("logout_cache_keys", {"cache": "web"})
    await apps.aclose()
    assert not [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING and "receiver" in r.name]
