"""The caches of the settings, each with a client of the Redis it is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.bus.caches.cache_cluster import ClusterCacheStore, connect_cluster, is_cluster
from receiver.bus.caches.cache_store import CacheStore
from receiver.core.tenants import TENANT_ID_PLACEHOLDER
from receiver.evictor.caches import Cache, Caches

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    import redis.asyncio

    from receiver.ops.redis_settings import RedisSettings
    from receiver.ops.settings import Settings

TIMEOUT_S = 5.0
"""Seconds one command may take; no request waits for it, and a batch of large values takes its time."""


async def open_caches(settings: Settings, client: redis.asyncio.Redis, stack: AsyncExitStack) -> Caches:
    """The configured caches, each with a client of its Redis that the stack closes.

    Args:
        settings: What is configured.
        client: Of the Redis with the events, where most caches are too.
        stack: Closes what is opened.

    Raises:
        ConfigurationError: a URL, an option or a password file of one of them is wrong.
    """
    stores: dict[object, CacheStore] = (
        {} if is_cluster(settings.redis.url) else {_place(settings.redis): CacheStore(client)}
    )

    for cache in settings.caches:
        where = cache.redis or settings.redis
        if _place(where) not in stores:
            stores[_place(where)] = await _store(where, stack)
    issuers = {
        tenant.name: [
            tenant.issuer.replace(TENANT_ID_PLACEHOLDER, guid) for guid in sorted(tenant.allowed_tenant_ids or [""])
        ]
        for tenant in settings.all_tenants
    }
    clients = {tenant.name: tenant.client_ids for tenant in settings.all_tenants}
    return Caches(
        [
            Cache(
                name=cache.name,
                layout=cache.shape,
                prefix=cache.effective_prefix,
                key=cache.key,
                per=cache.per or cache.shape.per,
                tenants=frozenset(cache.tenants or issuers),
                issuers={iss: name for name in cache.tenants or issuers for iss in issuers[name]},
                # One issuer may be several tenants'.
                not_issuers=frozenset(
                    {iss for those in issuers.values() for iss in those}
                    - {iss for name in cache.tenants or issuers for iss in issuers[name]}
                ),
                clients={
                    (iss, client_id): name
                    for name in cache.tenants or issuers
                    for iss in issuers[name]
                    for client_id in clients[name]
                },
                index=cache.index,
                store=stores[_place(cache.redis or settings.redis)],
            )
            for cache in settings.caches
        ],
        own_prefix=settings.redis.prefix + ":",
    )


async def _store(settings: RedisSettings, stack: AsyncExitStack) -> CacheStore:
    if not is_cluster(settings.url):
        return CacheStore(await stack.enter_async_context(settings.opened(timeout_s=TIMEOUT_S)))
    cluster = connect_cluster(settings.url, timeout_s=TIMEOUT_S, **settings.options)
    stack.push_async_callback(cluster.aclose)
    return ClusterCacheStore(cluster)


def _place(settings: RedisSettings) -> tuple[str, str | None]:
    return settings.url, settings.username
