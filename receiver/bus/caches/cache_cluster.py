"""Caches on a Redis Cluster: their keys are on every node, ours never are more than on one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import redis.asyncio
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, ResponseError

from receiver.bus.caches.cache_changes import CacheChanges, text_of
from receiver.bus.caches.cache_store import SCAN_COUNT, CacheStore
from receiver.bus.link.connection import RedisOptions, access_of, check_url, tls_of
from receiver.bus.link.tls_files import TLSConnection
from receiver.bus.link.trips import ClusterTrips
from receiver.bus.link.urls import CLUSTER, RedisURL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence


def is_cluster(url: str) -> bool:
    """Whether this URL names a Cluster."""
    return RedisURL.parse(url).topology == CLUSTER


def connect_cluster(url: str, *, timeout_s: float, **options: Unpack[RedisOptions]) -> RedisCluster:
    """A client of all nodes; no connection is made before the first command.

    Raises:
        ConfigurationError: the URL or an option is wrong.
    """
    check_url(url, **options)
    parsed = RedisURL.parse(url)
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in parsed.nodes],
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        **access_of(parsed, options),
    )
    if parsed.tls:
        # A Cluster's client takes no kind of connection, but makes all nodes from these.
        tls = tls_of(parsed, options)
        cluster.connection_kwargs.update(tls, connection_class=TLSConnection)
        for node in cluster.startup_nodes:
            node.connection_kwargs.update(tls)
            node.connection_class = TLSConnection
    return cluster


class ClusterCacheStore(CacheStore):
    """As `CacheStore`; every call finds the node of its key.

    Args:
        cluster: Owned by the caller.
    """

    def __init__(self, cluster: RedisCluster) -> None:
        # The commands of single keys are the same.
        client: Any = cluster
        super().__init__(client, ClusterTrips(cluster))
        self._cluster = cluster

    async def changes(self, patterns: Iterable[str]) -> CacheChanges:
        """Hears the writes on every primary there is now."""
        _ = await self._cluster.initialize()
        return CacheChanges([_client_of(node) for node in self._cluster.get_primaries()], patterns, owned=True)

    async def notifies(self) -> bool | None:
        """Not asked: each node has a setting of its own."""
        return None

    async def databases_with(self, pattern: str, *, steps: int) -> list[int]:
        """A Cluster has one."""
        del pattern, steps
        return []

    async def sizes(self, keys: Sequence[str], fields: Sequence[str] | None) -> list[int] | None:
        """As there; of all fields of a hash one by one, so that a client that finds no node for it harms no others."""
        if fields is not None:
            return await super().sizes(keys, fields)
        try:
            usages: list[Any] = [await self._cluster.memory_usage(key, samples=0) for key in keys]
        except (RedisClusterException, ResponseError):
            # Not granted; or Redis 6.2, which does not say where this command has its key.
            return None
        return [usage or 0 for usage in usages]

    async def delete(self, keys: Iterable[str]) -> int:
        """One by one: they are in different slots."""
        return sum([int(await self._cluster.unlink(key)) for key in keys])

    async def _ping(self) -> None:
        # One that is down is no reason to leave out the others' keys.
        await self._cluster.ping(target_nodes=RedisCluster.RANDOM)

    async def scan(self, pattern: str) -> AsyncIterator[list[str]]:
        """Every primary's keys."""
        batch: list[str] = []
        async for key in self._cluster.scan_iter(match=pattern, count=SCAN_COUNT):
            name = text_of(key)
            if name is not None:
                batch.append(name)
            if len(batch) >= SCAN_COUNT:
                yield batch
                batch = []
        if batch:
            yield batch


def _client_of(node: Any) -> redis.asyncio.Redis:
    options = {name: value for name, value in node.connection_kwargs.items() if name not in {"host", "port"}}
    pool = redis.asyncio.ConnectionPool(
        connection_class=node.connection_class, host=node.host, port=node.port, **options
    )
    client = redis.asyncio.Redis.from_pool(pool)
    client.auto_close_connection_pool = True
    return client
