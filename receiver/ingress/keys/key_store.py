"""All tenants' keys: who has them from where, kept fresh, and followed when the tenants change."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from receiver.core.tokens.discovery import address_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.bus.shared_keys import SharedKeySets
    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.ingress.keys.tenant_keys import TenantKeys
    from receiver.ops.metrics import Metrics
    from receiver.outbound.egress import Egress, Ways
    from receiver.outbound.fetch import Fetcher

TICK_S = 5.0
"""Seconds between two looks at whether keys are due; each tenant's fetch is spread by up to a tick."""

EARLIEST = 0.5
"""Keys are fetched again after this share of `keys.fresh_s` at the earliest. Each key set has a share of its own
between it and 1, so that thousands that were fetched together part."""

BATCH = 100
"""Shared copies read by one command, so that thousands of them hold up no other one."""

AT_ONCE = 32
"""Refreshes begun at once at one host; how many of them may ask it is `outbound.per_host`."""

FAILED_S = 1.0
"""Seconds until a refresh that failed makes room for the next one, so that thousands of tenants of an OP that is down
are tried for by no more than 32 requests a second. A token of a tenant without keys causes a fetch all the same."""

MAX_PROBLEMS = 20
"""Tenants that readiness shows the last failure of."""


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where keys come from. Tenants that have all of it in common have their keys in common, fetched once.

    Attributes:
        jwks_uri: Of the keys; None where discovery says.
        issuer: The issuer that the discovery document must name; None without discovery.
        metadata_url: The discovery document; None without discovery.
        allow_http: Whether plain http is acceptable.
        cooldown_s: Seconds between two fetches caused by tokens.
        egress: How requests leave.
    """

    jwks_uri: str | None
    issuer: str | None
    metadata_url: str | None
    allow_http: bool
    cooldown_s: float
    egress: Egress

    @property
    def host(self) -> str | None:
        """Host and port that are asked first."""
        return urlsplit(self.jwks_uri or self.metadata_url or "").netloc


class KeyStore:
    """The keys of all tenants, and the task that keeps them fresh.

    Args:
        tenants: The configured ones.
        made_for: The keys of a tenant that had none before.
        fetcher: Asks the OPs.
        shared: Copies of the keys that receivers share.
        metrics: Shows how many tenants and keys there are.
    """

    def __init__(
        self, tenants: TenantDirectory, made_for: Callable[[Tenant], TenantKeys], *, fetcher: Fetcher,
        shared: SharedKeySets, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._tenants = tenants
        self._made_for = made_for
        self._fetcher = fetcher
        self._shared = shared
        self._metrics = metrics
        self._by_source: dict[KeySource, TenantKeys] = {}
        self._by_name: dict[str, tuple[Tenant, TenantKeys]] = {}
        self._shares: dict[KeySource, float] = {}
        self._leaving: list[TenantKeys] = []
        self._queues: dict[str | None, deque[KeySource]] = {}
        self._queued: set[KeySource] = set()
        self.follow()

    def follow(self, ways: Ways | None = None) -> None:
        """Have keys for the tenants there are now: call it after others were put into the directory.

        Tenants keep the keys they have as long as they have them from the same place.

        Args:
            ways: Every OP's way out from now on; None leaves them as they are.
        """
        if ways is not None:
            self._fetcher.use(ways)
        self._metrics.follow(tenant.name for tenant in self._tenants)
        before, self._by_source, self._by_name = self._by_source, {}, {}
        for tenant in self._tenants:
            source = self._source_of(tenant)
            if source not in self._by_source:
                keys = before.pop(source, None) or self._made_for(tenant)
                keys.tenant = tenant
                self._by_source[source] = keys
                self._shares.setdefault(source, random.uniform(EARLIEST, 1.0))  # noqa: S311  # not a secret
            self._by_name[tenant.name] = (tenant, self._by_source[source])
        self._shares = {source: self._shares[source] for source in self._by_source}
        # Requests that came before the change may still wait for them.
        self._leaving = [keys for keys in (*self._leaving, *before.values()) if keys.is_fetching]

    def of(self, tenant: Tenant) -> TenantKeys:
        """That tenant's keys, also when it has been changed or removed meanwhile."""
        now, keys = self._by_name.get(tenant.name, (None, None))
        if now is tenant and keys is not None:
            return keys
        source = self._source_of(tenant)
        if source not in self._by_source:
            self._by_source[source] = self._made_for(tenant)
            self._shares[source] = 1.0
        return self._by_source[source]

    async def keep_fresh(self) -> None:
        """Fetch what is due, until cancelled. A host that is slow to answer holds up no other one."""
        await self._take_shared()
        self._queues.clear()
        self._queued.clear()
        async with asyncio.TaskGroup() as refreshes:
            while True:
                for source, keys in self._by_source.items():
                    if source in self._queued or keys.is_fetching or not keys.is_due(self._shares[source]):
                        continue
                    queue = self._queues.setdefault(source.host, deque())
                    if len(queue) < AT_ONCE:
                        refreshes.create_task(self._work_off(queue))
                    queue.append(source)
                    self._queued.add(source)
                # Spread, so that replicas started together do not call the OP together.
                await asyncio.sleep(TICK_S * random.uniform(0.8, 1.2))  # noqa: S311  # not a secret

    async def _work_off(self, queue: deque[KeySource]) -> None:
        """One of those that refresh what waits at one host, until nothing does."""
        while queue:
            source = queue.popleft()
            self._queued.discard(source)
            keys = self._by_source.get(source)
            if keys is None:
                continue
            await keys.refresh_if_due(self._shares[source])
            if keys.last_error:
                await asyncio.sleep(FAILED_S)

    async def aclose(self) -> None:
        """Give up all fetches in progress."""
        for keys in (*self._by_source.values(), *self._leaving):
            await keys.aclose()

    def problems(self) -> dict[str, str]:
        """Tenants with a last fetch that failed, and why; `MAX_PROBLEMS` at most."""
        failed = (keys for keys in self._by_source.values() if keys.last_error)
        return {keys.tenant.name: keys.last_error for keys, _ in zip(failed, range(MAX_PROBLEMS), strict=False)}

    def show(self) -> None:
        """Have the metrics of the process say how many tenants there are, how many lack keys, and how old keys are."""
        self._metrics.tenants.set_function(lambda: self.tenants)
        self._metrics.tenants_without_keys.set_function(lambda: self.without_keys)
        self._metrics.keys_oldest_seconds.set_function(lambda: self.oldest_s)

    @property
    def tenants(self) -> int:
        """Tenants there are."""
        return len(self._by_name)

    @property
    def without_keys(self) -> int:
        """Tenants there are no keys for."""
        return sum(not keys.has_keys for _, keys in self._by_name.values())

    @property
    def oldest_s(self) -> float:
        """Seconds since the oldest keys were fetched; 0 when there are none."""
        return max((keys.age_s or 0.0 for keys in self._by_source.values()), default=0.0)

    async def _take_shared(self) -> None:
        missing = [keys for keys in self._by_source.values() if not keys.has_keys]
        for first in range(0, len(missing), BATCH):
            batch = missing[first : first + BATCH]
            stored = await self._shared.load_many([keys.shared_name for keys in batch])
            for keys, copy in zip(batch, stored, strict=True):
                keys.take_shared(copy)

    def _source_of(self, tenant: Tenant) -> KeySource:
        discovers = tenant.jwks_uri is None
        return KeySource(
            jwks_uri=tenant.jwks_uri,
            issuer=tenant.issuer if discovers else None,
            metadata_url=address_of(tenant) if discovers else None,
            allow_http=tenant.allow_http,
            cooldown_s=tenant.key_cooldown_s,
            egress=self._fetcher.egress_of(tenant.name),
        )
