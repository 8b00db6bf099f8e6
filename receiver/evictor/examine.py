"""Look at values that were just written, or that were there before: learn their users, and remove what is over.

This catches a refresh that was in flight during a logout, and resolves an eviction that was published before it was
known which account it was about: both leave a mark, and what is older than its mark has to go.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from receiver.bus.caches.cache_index import CacheIndex, notes
from receiver.bus.link.connection import Failure
from receiver.core.verdict import Verdict
from receiver.evictor.clear import Cleared, clear
from receiver.evictor.decisions import ByMarks, Decision
from receiver.evictor.early import Early
from receiver.evictor.evict import key_digest, remembered_as
from receiver.evictor.known import Known, ask, own
from receiver.evictor.reading import read
from receiver.evictor.returned import Returned

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from receiver.core.layouts.layout import Value
    from receiver.evictor.caches import Cache
    from receiver.evictor.handling import Handling

MAX_KEY = 1024
"""Characters of the longest key that is looked at: longer ones would be noted in Redis for each of their users."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a batch.

    Attributes:
        values: That were there.
        unreadable: Of these, that could not be looked into.
        removed: Of these, in which something was over.
    """

    values: int = 0
    unreadable: int = 0
    removed: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Of both together."""
        return Counts(self.values + other.values, self.unreadable + other.unreadable, self.removed + other.removed)


class Examiner:
    """Looks at values in batches: a constant number of round trips each.

    Args:
        handling: What it clears with.
        index: Learns.
    """

    def __init__(self, handling: Handling, index: CacheIndex) -> None:
        self._with = handling
        self._index = index
        self._returned = Returned(handling.metrics)
        self._early = Early()

    async def look_again(self, now_s: float) -> None:
        """Judge what was left for its app to register, and is due at this monotonic time.

        Raises:
            Failure: a Redis did not answer; what is left is due still.
        """
        for name, key, is_named in self._early.due(now_s):
            cache = self._with.caches.by_name(name)
            if cache is not None:
                await self.examine(cache, [key], named=[key] if is_named else (), now_s=now_s)

    async def examine(
        self,
        cache: Cache,
        keys: Sequence[str],
        *,
        named: Collection[str] = (),
        flush: bool = False,
        new_only: bool = False,
        now_s: float | None = None,
    ) -> Counts:
        """Learn from these values, and remove from them what is over.

        What an app may be about to register is left for `look_again`.

        Args:
            cache: The values' cache.
            keys: As many as fit into one round trip.
            named: Those of the keys that an app named for what was signed out: what is there need not look like the
                layout's values.
            flush: Whether logouts were missed, so that what cannot be judged has to go.
            new_only: Whether only what is new since the last look is looked at, in values that many share.
            now_s: Monotonic seconds; None for now.

        Raises:
            Failure: a Redis did not answer.
        """
        short = [key for key in keys if len(key) <= MAX_KEY]
        if len(short) < len(keys):
            self._with.bad.note(cache.name, cache.pattern, ["long_name"])
        counts = Counts()
        late: dict[tuple[str, str], str] = {}
        now_s = time.monotonic() if now_s is None else now_s
        async for values in read(cache, short):
            looked_at = (
                {key: cache.examined.new_in(key, value) for key, value in values.items()} if new_only else values
            )
            try:
                examined, known = await self._examine(
                    cache, values, looked_at, named=named, flush=flush and cache.key is None, now_s=now_s
                )
            except Failure:
                for key in values:
                    cache.examined.forget(key)
                raise
            counts += examined
            late |= known.only_subjects() if cache.layout.account_links else {}
        await self._spread(late)
        return counts

    async def _examine(
        self,
        cache: Cache,
        values: dict[str, Value],
        looked_at: dict[str, Value],
        *,
        named: Collection[str],
        flush: bool,
        now_s: float,
    ) -> tuple[Counts, Known]:
        for value in values.values():
            self._with.bad.note(cache.name, cache.pattern, value.problems, value.error)
        await self._learn(cache, looked_at)
        known = await ask(cache, looked_at, removals=self._with.removals, awaited=self._with.awaited)
        judged: dict[str, ByMarks] = {}
        for key, value in values.items():
            evidence = ByMarks(
                key=key_digest(cache, key),
                marks=known.marks,
                remembered=known.remembered,
                by_user=cache.layout.account_links,
                not_issuers=cache.not_issuers,
                logouts_missed=flush,
                is_named=key in named,
                newer_than=known.newer_than.get(key),
                skew_s=self._with.skew_s,
            )
            if evidence.is_early(value):
                if not self._early.has_stood(cache.name, key, value.raw, now_s, is_named=key in named):
                    continue
                # What is written meanwhile has not.
                evidence = replace(evidence, only=value.raw)
            judged[key] = evidence
        removed = await self._clear_all(cache, values, judged)
        unreadable = sum(not value.readable for value in values.values())
        return Counts(len(values), unreadable, removed), known

    async def _learn(self, cache: Cache, values: dict[str, Value]) -> None:
        if cache.is_read:
            found = [
                note
                for key, value in values.items()
                for note in notes(
                    own(cache, value.sign_ins),
                    cache.worth_noting(key, value.accounts),
                    of_accounts=cache.layout.account_links,
                )
            ]
            self._with.metrics.learnt.labels(cache.name).inc(await self._index.learn(found))

    async def _spread(self, late: Mapping[tuple[str, str], str]) -> None:
        """Look at everything of the accounts that only now are known to be those of subjects that were signed out."""
        for (iss, account), mark in late.items():
            await self._with.removals.mark_account(iss, account, mark)
            places = await self._index.places_of([account])
            for cache in self._with.caches:
                keys = {place.key for place in places if place.cache == cache.name} | {cache.key_of(account), cache.key}
                if iss in cache.issuers and cache.layout.is_read:
                    await self.examine(cache, sorted(filter(None, keys)))

    async def _clear_all(self, cache: Cache, values: Mapping[str, Value], judged: Mapping[str, ByMarks]) -> int:
        """How many of the values something was removed from.

        Each takes several round trips: after a storm that was missed most of a batch is over, so they are done side by
        side. All come to their end, also where one of them fails.
        """

        async def one(key: str) -> bool:
            with self._with.bad.guarding(cache.name, cache.pattern):
                return await self._clear(cache, key, values[key], judged[key])
            return False

        met = await asyncio.gather(*map(one, judged), return_exceptions=True)
        for failure in met:
            if isinstance(failure, BaseException):
                raise failure
        return met.count(True)

    async def _clear(self, cache: Cache, key: str, value: Value, evidence: ByMarks) -> bool:
        """Whether anything was removed."""
        cleared = await clear(cache, key, value, evidence)
        decisions = list(evidence.decisions(cleared.value or value).values())
        for decision in decisions:
            self._returned.report(cache, evidence.key, decision)
        if not cleared.removed:
            return False
        ended = [decision for decision in decisions if decision.remove]
        users = {decision.name for decision in ended if decision.name is not None}
        await self._note([*remembered_as(cache, key), *sorted(users)], cleared, ended)
        # To no other OP than the one they are from.
        if len(cleared.issuers) == 1:
            [issuer] = cleared.issuers
            for client_id, secret in cleared.refresh_tokens:
                if (tenant := cache.tenant_of(issuer, client_id)) is not None:
                    self._with.revoke(tenant, client_id, secret)
        return True

    async def _note(self, names: Sequence[str], cleared: Cleared, ended: Sequence[Decision]) -> None:
        before = any(decision.before for decision in ended)
        await self._with.removals.note(
            names,
            logout_at=max((decision.logout_at for decision in ended), default=0.0),
            sids=sorted(cleared.sids),
            again=before,
            unsure=before and all(decision.verdict is not Verdict.ENDED for decision in ended),
        )
