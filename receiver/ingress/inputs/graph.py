"""Microsoft Graph, watched: sessions an Entra administrator revoked, accounts disabled and deleted.

Entra ID calls no application when an administrator acts. Delta queries tell of accounts that ended. Whether they tell
of revoked sessions is not documented, so this does not rest on it: the date is asked for by filter, and where a
directory refuses that, by reading all users. What delta queries turn out to tell decides how often.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from receiver.errors import SourceError
from receiver.ingress.inputs.watcher import Watcher
from receiver.ops.logs import emit
from receiver.outbound.graph import GONE, UNSUPPORTED, GraphClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from receiver.bus.watches import Watermark
    from receiver.core.directory import DirectoryUser, Page
    from receiver.core.eviction import Eviction
    from receiver.core.tenants import Tenant
    from receiver.ingress.inputs.resources import Resources
    from receiver.ops.source_settings import GraphSettings

log = logging.getLogger("receiver.graph")

ORIGIN: Final = "graph"

OVERLAP_S = 600.0
"""Seconds before the last look that are looked at once more: a directory's replicas lag behind each other."""

PATIENCE_S = 300.0
"""Seconds after which a revocation that was found in another way should have come by delta query too."""

CONTROL_S = 3600.0
"""Seconds between two readings of all users where delta queries tell of revocations: to notice if they cease to."""

WITHOUT_DELTA = frozenset({"AAD B2C", "CIAM"})
"""Types of directories for which Microsoft documents that delta queries on users are not supported."""

Kind = Literal["sessions revoked", "account disabled", "account deleted"]

Ended = tuple[str, Kind, int]
"""A user's object id, what ended, and when, NumericDate seconds."""


class GraphWatch(Watcher):
    """The watcher of one directory; it works while it holds the lease.

    Args:
        resources: Of the receiver.
        tenant: The users' tenant.
        directory: The directory's GUID.
        client: Our access to it.
        settings: Of the tenant.
    """

    def __init__(
        self, resources: Resources, tenant: Tenant, directory: str, client: GraphClient, settings: GraphSettings
    ) -> None:
        super().__init__(resources, ORIGIN, tenant, interval_s=settings.interval_s)
        self._directory = directory
        self._client = client
        self._settings = settings
        self._asked_type = False
        self._delta = settings.use_delta
        self._delta_dates = True
        self._filter = True
        self._heard = False
        self._awaited: dict[str, float] = {}
        self._told: dict[tuple[str, Kind], int] = {}

    async def take_in(self, position: Watermark, now: float) -> Watermark:
        """What has changed since the last look, by each way that the directory answers."""
        if not self._asked_type:
            await self._ask_type()
        first = not position.dates_at
        if first:
            # What was before the watch began is no affair of it.
            position = replace(position, dates_at=now, ended_at=now)
        link, gap = await self._follow(position, now) if self._delta else ("", first)
        sweep_s = CONTROL_S if self._delta and position.dates_by == "delta" else self._settings.sweep_s
        if await self._take_dates(position, now, due=first or gap or now - position.dates_at >= sweep_s):
            position = replace(position, dates_at=now)
        if gap or (not self._delta and now - position.ended_at >= self._settings.sweep_s):
            await self._take_ended(position, now, first=first)
            position = replace(position, ended_at=now)
        elif self._delta:
            position = replace(position, ended_at=now)
        since = min(position.dates_at, position.ended_at) - OVERLAP_S
        self._told = {told: at for told, at in self._told.items() if at > since}
        return replace(position, link=link, dates_by=self._judge_delta(position, now))

    async def _ask_type(self) -> None:
        kind = await self._client.tenant_type()
        if kind in WITHOUT_DELTA:
            self._delta = False
            self._say_unsupported(kind)
        self._asked_type = True

    def _say_unsupported(self, kind: str | None) -> None:
        emit(
            log, logging.WARNING, "graph.delta_unsupported", tenant=self._tenant, tenant_type=kind,
            action=f"disabled and deleted accounts are looked for every {self._settings.sweep_s:g} s (graph.sweep_s)",
        )  # fmt: skip

    async def _follow(self, position: Watermark, now: float) -> tuple[str, bool]:
        """Take in what delta queries tell; where to go on, and whether something may have been missed."""
        link, gap = position.link, not position.link
        while True:
            try:
                page = await self._client.page(link or self._client.changes_from_now(with_dates=self._delta_dates))
            except SourceError as error:
                if error.status == GONE and link:
                    emit(log, logging.WARNING, "graph.resync", tenant=self._tenant)
                    link, gap = "", True
                elif error.status in UNSUPPORTED and not link and self._delta_dates:
                    # Some properties are refused in a delta query.
                    self._delta_dates = False
                elif error.status in UNSUPPORTED and not link:
                    self._delta = False
                    self._say_unsupported(None)
                    return "", True
                else:
                    raise
                continue
            # Where something may have been missed, the lists of accounts that ended say it.
            await self._take(page.users, position.dates_at, now, by_delta=True, ended=not gap)
            if page.delta_link is not None:
                return page.delta_link, gap
            if page.next_link is None:
                raise SourceError("Microsoft Graph: a delta query's page without a link")
            link = page.next_link

    async def _take_dates(self, position: Watermark, now: float, *, due: bool) -> bool:
        """Take in who was revoked since the position; whether all of them are."""
        if self._filter:
            try:
                await self._sweep(self._client.revoked_since(position.dates_at - OVERLAP_S), position.dates_at, now)
            except SourceError as error:
                if error.status not in UNSUPPORTED:
                    raise
                self._filter = False
                emit(
                    log, logging.WARNING, "graph.filter_unsupported", tenant=self._tenant,
                    action=f"all users are read every {self._settings.sweep_s:g} s (graph.sweep_s)",
                )  # fmt: skip
            else:
                return True
        if not due:
            return False
        await self._sweep(self._client.all_users(), position.dates_at, now)
        return True

    async def _sweep(self, pages: AsyncIterator[Page], dates_at: float, now: float) -> None:
        async for page in pages:
            await self._take(page.users, dates_at, now)
            await self._lease.hold()

    async def _take_ended(self, position: Watermark, now: float, *, first: bool) -> None:
        """Take in who was disabled or deleted since the position; the first time only note who is."""
        disabled, enabled = await self.turned(
            [user.id for user in page.users if user.enabled is False] async for page in self._client.disabled_users()
        )
        found: list[Ended] = [(user, "account disabled", int(now)) for user in sorted(disabled)]
        async for page in self._client.deleted_users():
            found += [
                (user.id, "account deleted", user.deleted_at)
                for user in page.users
                if user.deleted_at is not None and user.deleted_at > position.ended_at - OVERLAP_S
            ]
        if not first:
            await self._accept(found, now)
        await self._watch.note_off(disabled, enabled)

    async def _take(
        self, users: Sequence[DirectoryUser], dates_at: float, now: float, *, by_delta: bool = False,
        ended: bool = False,
    ) -> None:  # fmt: skip
        found: list[Ended] = []
        for user in users:
            if user.valid_from is not None and user.valid_from > dates_at - OVERLAP_S:
                self._compare(user, now, by_delta=by_delta)
                found.append((user.id, "sessions revoked", user.valid_from))
        if not ended:
            await self._accept(found, now)
            return
        disabled = [user.id for user in users if user.enabled is False]
        newly = sorted(set(disabled) - await self._watch.which_off(disabled))
        found += [(user, "account disabled", int(now)) for user in newly]
        found += [(user.id, "account deleted", int(now)) for user in users if user.removed]
        await self._accept(found, now)
        await self._watch.note_off(newly, {user.id for user in users if user.enabled})

    def _compare(self, user: DirectoryUser, now: float, *, by_delta: bool) -> None:
        """Note what this revocation says on what delta queries tell."""
        new = self._told.get((user.id, "sessions revoked")) != user.valid_from
        if by_delta and (new or user.id in self._awaited):
            self._awaited.pop(user.id, None)
            self._heard = True
        elif new and self._delta:
            self._awaited[user.id] = now + PATIENCE_S

    def _judge_delta(self, position: Watermark, now: float) -> str:
        """How revocations are found by now."""
        silent = [user for user, until in self._awaited.items() if until <= now]
        for user in silent:
            del self._awaited[user]
        other = "filter" if self._filter else "pages"
        if silent or not (self._delta and self._delta_dates):
            by = other
        elif self._heard:
            by = "delta"
        else:
            by = position.dates_by if position.dates_by in {"delta", other} else ""
        self._heard = False
        if by and by != position.dates_by:
            emit(log, logging.INFO, "graph.dates_by", tenant=self._tenant, by=by)
        return by

    async def _accept(self, found: Iterable[Ended], now: float) -> None:
        new = [one for one in dict.fromkeys(found) if self._told.get(one[:2]) != one[2]]
        evictions = [
            self._eviction(f"{user}{f'-{policy}' if policy else ''}.{self._directory}", kind, at, now)
            for user, kind, at in new
            for policy in self._settings.policies or ("",)
        ]
        await self.accept(evictions)
        # Not before: what could not be made durable is offered again.
        self._told |= {(user, kind): at for user, kind, at in new}

    def _eviction(self, account: str, kind: Kind, at: int, now: float) -> Eviction:
        issuers = self._of.issuers
        issuer = next((iss for iss in issuers if self._directory in iss), issuers[0])
        made = self.ended(f"{account}\n{kind}\n{at}", iss=issuer, sub=account, reason=kind, at=at, now=now)
        return replace(made, account=account, accounts=(account,))
