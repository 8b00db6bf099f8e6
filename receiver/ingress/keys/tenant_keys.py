"""A tenant's keys: discovery, fetching, refreshing, and keeping good ones through an outage.

One fetch at a time, however many requests wait for it. When to fetch is decided by
`core.tokens.key_freshness`; what is a usable set by `core.tokens.jwks`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.bus.shared_keys import SharedKeySets, StoredKeys
from receiver.core.tokens.jwks import KeySet, parse_key_set
from receiver.core.tokens.key_freshness import Evidence, KeyAge
from receiver.errors import FetchError, JWKSUnavailableError
from receiver.ops.logs import emit
from receiver.outbound.turns import Urgency

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.tenants import Tenant
    from receiver.ops.metrics import Metrics
    from receiver.ops.sections import KeySettings
    from receiver.outbound.fetch import Fetcher

log = logging.getLogger("receiver.keys")

MAX_REASONS = 8
"""Unusable keys that one log line gives the reasons for."""


class TenantKeys:
    """The keys of one tenant, or of several that have them from the same place.

    Attributes:
        tenant: The tenant they are fetched, logged and counted for; of several the first.
        last_error: Why the last fetch failed, for the operator; empty after a good one.
    """

    def __init__(
        self,
        tenant: Tenant,
        *,
        fetcher: Fetcher,
        shared: SharedKeySets,
        settings: KeySettings,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.tenant = tenant
        self._fetcher = fetcher
        self._shared = shared
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._age = KeyAge()
        self._key_set: KeySet | None = None
        self._fetch: asyncio.Task[None] | None = None
        self._urgency = Urgency(is_urgent=False)
        self.last_error = "not fetched yet"

    def fetched_at(self, key_set: KeySet) -> float | None:
        """NumericDate seconds when this set was fetched; None when it is no longer the one in use."""
        return self._age.fetched_at if key_set is self._key_set else None

    async def current(self, *, for_held: bool = False) -> KeySet:
        """Keys to verify with, fetched first when there are none, once a second at most.

        Args:
            for_held: Whether a token asks that is held already: then a fetch waits until it is due.

        Raises:
            JWKSUnavailableError: none known, and none to be had now.
        """
        if (key_set := self.at_hand) is not None:
            return key_set
        now_s = self._clock()
        may_try = not for_held and self._age.may_try_for_a_token(now_s)
        if self._fetch is not None or may_try or self._age.is_due(now_s, fresh_s=self._settings.fresh_s):
            await self._refresh("start", is_urgent=True)
        if self._key_set is None or not self._is_usable(self._age):
            raise JWKSUnavailableError(f"no keys for tenant {self.tenant.name}: {self.last_error}")
        return self._key_set

    async def newer_than(self, known: KeySet, evidence: Evidence) -> KeySet | None:
        """A set newer than the one a token spoke against, fetched if the cool-down allows it; else None."""
        if self._key_set is not known:
            return self._key_set
        if not self.may_get_newer(evidence):
            return None
        if self._fetch is None:
            self._age = self._age.forced(evidence, self._clock())
        await self._refresh(evidence.value, is_urgent=True)
        return self._key_set if self._key_set is not known else None

    def may_get_newer(self, evidence: Evidence) -> bool:
        """Whether a token that speaks against the keys at hand may wait for newer ones."""
        return self._fetch is not None or self._age.may_refresh_for(
            evidence, self._clock(), cooldown_s=self.tenant.key_cooldown_s
        )

    @property
    def at_hand(self) -> KeySet | None:
        """Keys to verify with at once; None when there are none."""
        return self._key_set if self._is_usable(self._age) else None

    @property
    def has_keys(self) -> bool:
        """Whether there are keys to verify with."""
        return self.at_hand is not None

    @property
    def age_s(self) -> float | None:
        """Seconds since the keys were fetched; None when there are none."""
        return None if self._age.fetched_at is None else self._clock() - self._age.fetched_at

    @property
    def is_fetching(self) -> bool:
        """Whether a fetch is under way."""
        return self._fetch is not None

    def is_due(self, share: float = 1.0) -> bool:
        """Whether the periodic refresh should run.

        Args:
            share: Of the time keys are fresh, after which they are due.
        """
        return self._age.is_due(self._clock(), fresh_s=self._settings.fresh_s * share)

    async def refresh_if_due(self, share: float = 1.0) -> None:
        """The periodic refresh; `share` as in `is_due`."""
        if self.is_due(share):
            await self._refresh("timer" if self._key_set else "start", is_urgent=False)

    @property
    def shared_name(self) -> str:
        """What the copy that receivers share goes by."""
        return shared_name(self.tenant)

    def take_shared(self, stored: StoredKeys | None) -> None:
        """Use the copy that receivers share, where it is good and there are no keys yet."""
        if stored is None or self.has_keys or not self._is_usable(KeyAge(stored.fetched_at)):
            return
        try:
            key_set = parse_key_set(stored.document)
        except ValueError:
            return
        if not key_set.keys:
            return
        # Another receiver's clock may run ahead; its keys must not stay fresh for longer than ours would.
        self._adopt(key_set, min(stored.fetched_at, self._clock()))
        emit(
            log, logging.INFO, "keys.shared", tenant=self.tenant.name, age_s=int(self._clock() - stored.fetched_at)
        )  # fmt: skip

    async def aclose(self) -> None:
        """Give up a fetch in progress."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])

    async def _refresh(self, trigger: str, *, is_urgent: bool) -> None:
        if self._fetch is not None and is_urgent:
            self._urgency.rise()
        if self._fetch is None:
            self._urgency = Urgency(is_urgent=is_urgent)
            self._fetch = asyncio.create_task(self._fetch_once(trigger), name=f"keys-{self.tenant.name}")
            self._fetch.add_done_callback(self._fetched)
        # A request that is cancelled must not cancel the fetch others wait for.
        await asyncio.shield(self._fetch)

    def _fetched(self, _: asyncio.Task[None]) -> None:
        self._fetch = None

    async def _fetch_once(self, trigger: str) -> None:
        if not self._is_usable(self._age):
            self.take_shared(await self._shared.load(self.shared_name))
        if (
            self._is_usable(self._age)
            and not self._age.is_due(self._clock(), fresh_s=self._settings.fresh_s)
            and trigger == "start"
        ):
            return
        self._age = replace(self._age, attempted_at=self._clock())
        try:
            document = await self._fetch_document()
            key_set = parse_key_set(document)
            if not key_set.keys and self._key_set is not None:
                raise ValueError("the new JWK Set has no usable key; the old one is kept")  # noqa: TRY301
        except (FetchError, ValueError) as error:
            self._failed(trigger, str(error))
            return
        except Exception:  # what one OP answers must not end the refreshing for all others
            log.exception("keys.fault", extra={"fields": {"tenant": self.tenant.name}})
            self._failed(trigger, "a fault in this service; please report the exception logged above")
            return
        now_s = self._clock()
        self._adopt(key_set, now_s)
        self.last_error = ""
        self._count("ok", trigger)
        self._metrics.keys_fetched(self.tenant.name, now_s)
        emit(
            log, logging.INFO, "keys.refreshed", tenant=self.tenant.name, trigger=trigger,
            usable=len(key_set.keys), unusable=len(key_set.unusable),
            reasons="; ".join(map(str, key_set.unusable[:MAX_REASONS])) or None,
        )  # fmt: skip
        if key_set.keys:
            await self._shared.store(self.shared_name, StoredKeys(now_s, document))

    def _failed(self, trigger: str, reason: str) -> None:
        self.last_error = reason
        self._count("error", trigger)
        emit(
            log, logging.WARNING, "keys.refresh_failed", tenant=self.tenant.name, trigger=trigger, reason=reason,
            kept=self._key_set is not None,
        )  # fmt: skip

    def _is_usable(self, age: KeyAge) -> bool:
        return age.is_usable(self._clock(), max_stale_s=self._settings.max_stale_s)

    def _adopt(self, key_set: KeySet, fetched_at: float) -> None:
        self._key_set = key_set
        self._age = replace(self._age, fetched_at=fetched_at)

    async def _fetch_document(self) -> dict[str, object]:
        fetcher, tenant, urgency = self._fetcher, self.tenant, self._urgency
        jwks_uri = tenant.jwks_uri or await fetcher.discovered("jwks_uri", tenant, urgency=urgency)
        return await fetcher.get_json(jwks_uri, tenant, urgency=urgency)

    def _count(self, result: str, trigger: str) -> None:
        self._metrics.jwks_refreshes.labels(self._metrics.tenant.of(self.tenant.name), result, trigger).inc()


def shared_name(tenant: Tenant) -> str:
    """The tenant and where its keys come from: one that moves to another issuer never verifies with the old keys."""
    source = "\n".join((tenant.issuer, tenant.metadata_url, tenant.jwks_uri or ""))
    return f"{tenant.name}:{hashlib.sha256(source.encode()).hexdigest()[:12]}"
