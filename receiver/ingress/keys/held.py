"""Tokens that could not be verified because their key was not to be had: kept, and verified when it is.

An OP that signs with a key it has just published, or that is unreachable for a minute, sends its logout
token once. So a well-formed token of a configured tenant waits here, bounded in number and time, and is
judged by the moment it was received. Waiting tokens never cause more key fetches than the cool-down allows.
Keys fetched right after a token came do not refuse it for good.
Tokens with a signature that fails are mostly forged: they have a small share of their own, for each tenant, and never
take the place of another one.
With an outbox they are on disk within a second, and are read back at the next start.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.core.tokens.key_freshness import Evidence
from receiver.errors import DependencyError, LogoutTokenError, ReceiverError, RequestError
from receiver.ingress.keys.held_token import HeldToken, opened
from receiver.ingress.keys.verification import EVIDENCE
from receiver.ingress.outbox import HeldRow
from receiver.ops.logs import emit
from receiver.ops.metrics import Children, Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from receiver.core.tenants import Tenant
    from receiver.core.tokens.jwks import KeySet
    from receiver.core.tokens.jws import UnverifiedToken
    from receiver.ingress.accepted import Accepted
    from receiver.ingress.keys.key_store import KeyStore
    from receiver.ingress.outbox.store import Outbox

    Ended = Callable[[HeldToken, str, Sequence[Accepted], ReceiverError | None], None]

log = logging.getLogger("receiver.held")

DOUBTFUL = 16
"""Tokens of one tenant kept because their signature fails under a key we hold; the oldest give way."""

SETTLE_S = 60.0
"""Seconds after a token came from which on newly fetched keys refuse it for good. Earlier ones may be from a cache in
front of the OP that did not have its new key yet. Longer asks the OP once more for each forged token."""

TICK_S = 1.0
"""Seconds between two looks at whether a tenant's keys have changed."""


class HeldTokens:
    """The waiting room.

    Args:
        finish: Verifies with the given keys and publishes; raises as the service does.
        ended: Told what became of each token: `accepted` with what is durable, `refused` with why, `expired` or
            `displaced`.
        capacity: Tokens kept in all, apart from the doubtful; the oldest give way.
        keep_s: Seconds one is kept.
        outbox: Keeps them across a restart; None keeps them in memory only.
    """

    def __init__(
        self,
        finish: Callable[[HeldToken, KeySet], Awaitable[Sequence[Accepted]]],
        ended: Ended,
        keys: KeyStore,
        *,
        capacity: int,
        keep_s: float,
        metrics: Metrics,
        clock: Callable[[], float],
        outbox: Outbox | None = None,
    ) -> None:
        self._finish = finish
        self._ended = ended
        self._keys = keys
        self._keep_s = keep_s
        self._capacity = capacity
        self._tenant_label = metrics.tenant
        self._counted = Children(metrics.held)
        metrics.held_tokens.set_function(lambda: len(self._held))
        self._clock = clock
        self._outbox = outbox
        self._saved: set[int] = set()
        self._held: dict[int, HeldToken] = {}
        self._ordinary: dict[int, None] = {}
        self._doubtful: dict[str, dict[int, None]] = {}
        self._numbers = itertools.count()
        self._retrying = asyncio.Lock()
        self._displaced = 0

    def hold(self, held: HeldToken) -> bool:
        """Keep a token, and say whether it is kept; never raises."""
        if not self._capacity:
            return False
        if not self._put(next(self._numbers), held):
            emit(log, logging.INFO, "logout.held", tenant=held.tenant.name, waiting=len(self._held))
        return True

    def _put(self, number: int, held: HeldToken) -> bool:
        """Whether another one had to give way."""
        share, capacity = self._share_of(held)
        is_full = len(share) >= capacity
        if is_full:
            self._displace(next(iter(share)))
            share, _ = self._share_of(held)
        self._held[number] = held
        share[number] = None
        return is_full

    def _share_of(self, held: HeldToken) -> tuple[dict[int, None], int]:
        """The numbers this one counts among, oldest first, and how many they may be."""
        if held.evidence is Evidence.SIGNATURE:
            return self._doubtful.setdefault(held.tenant.name, {}), min(DOUBTFUL, self._capacity)
        return self._ordinary, self._capacity

    def _remove(self, number: int) -> HeldToken:
        held = self._held.pop(number)
        share, _ = self._share_of(held)
        del share[number]
        if held.evidence is Evidence.SIGNATURE and not share:
            del self._doubtful[held.tenant.name]
        return held

    async def restore(self, read: Callable[[str], Awaitable[tuple[UnverifiedToken, Tenant]]]) -> None:
        """Read back what an earlier run held; call it once, before anything is held.

        Args:
            read: Takes a token apart and finds its tenant; raises LogoutTokenError where that fails now,
                for instance because the tenant is gone.
        """
        if self._outbox is None:
            return
        rows = await self._outbox.held()
        self._saved = {row.number for row in rows}
        self._numbers = itertools.count(max(self._saved, default=-1) + 1)
        for row in rows:
            try:
                found = await read(row.token)
            except LogoutTokenError as error:
                _tell_unreadable(row.tenant, error)
                continue
            # The capacity may be a smaller one than last time.
            self._put(row.number, _restored(*found, row.token, row.received_at))

    async def reread(self, read: Callable[[str], Awaitable[tuple[UnverifiedToken, Tenant]]]) -> None:
        """Judge waiting tokens by the tenants there are now, after these have changed; `read` as in `restore`."""
        async with self._retrying:
            for number, held in list(self._held.items()):
                try:
                    found = await read(held.compact)
                except RequestError:
                    continue  # too many encrypted tokens wait to be opened: this one stays as it was read
                except LogoutTokenError as error:
                    if self._held.get(number) is held:
                        self._remove(number)
                        self._end(held, "refused", error)
                        _tell_unreadable(held.tenant.name, error)
                    continue
                if self._held.get(number) is held and found[1] is not held.tenant:
                    self._remove(number)
                    self._put(number, _restored(*found, held.compact, held.received_at))

    async def save(self) -> None:
        """Bring the outbox up to date, as far as its disk allows; never raises."""
        if self._outbox is None:
            return
        new = [
            HeldRow(number, held.tenant.name, held.compact, held.received_at)
            for number, held in self._held.items()
            if number not in self._saved
        ]
        gone = [number for number in self._saved if number not in self._held]
        if (new or gone) and await self._outbox.update_held(new, gone):
            self._saved = (self._saved | {row.number for row in new}) - set(gone)

    async def watch(self) -> None:
        """Look until cancelled whether keys have come."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.save()
            await self.retry()

    async def retry(self) -> None:
        """Try every waiting token of a tenant with newer keys; forget those that waited too long."""
        # Tokens stay in their place while they are tried: the capacity covers them, and none is lost on the way.
        async with self._retrying:
            self._tell_displaced()
            waiting = dict(self._held)
            newer = await self._newer_keys(waiting.values())
            for number, held in waiting.items():
                key_set = newer[_lookup(held)]
                if number not in self._held:
                    continue
                if self._clock() - held.received_at > self._keep_s:
                    self._count(held, "expired")
                elif key_set is None:
                    continue
                elif not await self._try(number, held, key_set):
                    break  # Redis is away, for the others too
                if self._held.get(number) is held:
                    self._remove(number)
                # To verify a thousand takes a tenth of a second, and logouts come in meanwhile.
                await asyncio.sleep(0)
            await self.save()

    def _displace(self, number: int) -> None:
        self._end(self._remove(number), "displaced")
        self._displaced += 1

    def _tell_displaced(self) -> None:
        # One line for all since the last look: a flood of forged tokens must not become a flood of log lines.
        if self._displaced:
            emit(
                log, logging.WARNING, "logout.held_displaced", count=self._displaced, waiting=len(self._held),
                action="more tokens wait for keys than keys.held_tokens allows, so the oldest were dropped; if they "
                "are genuine, raise it",
            )  # fmt: skip
            self._displaced = 0

    async def _newer_keys(self, waiting: Iterable[HeldToken]) -> dict[tuple[str, int, Evidence], KeySet | None]:
        # All tenants at once, so that one OP that is slow to answer does not hold up another's tokens.
        asked = {_lookup(held): held for held in waiting}
        return dict(zip(asked, await asyncio.gather(*map(self._newer_than, asked.values())), strict=True))

    async def _newer_than(self, held: HeldToken) -> KeySet | None:
        keys = self._keys.of(held.tenant)
        try:
            if held.known is None:
                return await keys.current(for_held=True)
            return await keys.newer_than(held.known, held.evidence)
        except DependencyError:
            return None

    async def _try(self, number: int, held: HeldToken, key_set: KeySet) -> bool:
        """Whether this token is done with, or put back to wait for newer keys."""
        try:
            accepted = await self._finish(held, key_set)
        except DependencyError:
            return False
        except LogoutTokenError as error:
            evidence = EVIDENCE.get(error.code)
            fetched_at = self._keys.of(held.tenant).fetched_at(key_set)
            settled = fetched_at is not None and fetched_at >= held.received_at + SETTLE_S
            if evidence is not None and (held.restored or not settled) and number in self._held:
                self._remove(number)
                self._put(number, replace(held, known=key_set, evidence=evidence, restored=False))
            else:
                self._count(held, "refused", error)
        else:
            self._count(held, "accepted", accepted=accepted)
        return True

    def _count(
        self, held: HeldToken, outcome: str, error: ReceiverError | None = None, *, accepted: Sequence[Accepted] = ()
    ) -> None:
        self._end(held, outcome, error, accepted)
        level = logging.INFO if outcome == "accepted" else logging.WARNING
        emit(
            log, level, f"logout.held_{outcome}", tenant=held.tenant.name,
            held_s=round(self._clock() - held.received_at, 3), code=error.code if error else None,
            reason=error.message if error else None,
        )  # fmt: skip

    def _end(
        self, held: HeldToken, outcome: str, error: ReceiverError | None = None, accepted: Sequence[Accepted] = ()
    ) -> None:
        self._counted[self._tenant_label.of(held.tenant.name), outcome].inc()
        self._ended(held, outcome, accepted, error)


def _restored(token: UnverifiedToken, tenant: Tenant, compact: str, received_at: float) -> HeldToken:
    return HeldToken(
        compact=compact, opened=opened(token), tenant=tenant, received_at=received_at, restored=True
    )  # fmt: skip


def _tell_unreadable(tenant: str, error: LogoutTokenError) -> None:
    emit(
        log, logging.WARNING, "logout.held_unreadable", tenant=tenant, code=error.code, reason=error.message
    )  # fmt: skip


def _lookup(held: HeldToken) -> tuple[str, int, Evidence]:
    return held.tenant.name, id(held.known), held.evidence
