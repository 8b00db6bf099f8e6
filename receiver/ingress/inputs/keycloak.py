"""A Keycloak realm, watched: what it tells no application.

Keycloak sends logout tokens and security events when a user or an administrator ends a session. It sends none when a
realm is logged out as a whole, and when an account is deleted or disabled. The first two are admin events; accounts
that LDAP, SCIM or a broker disables have none, so the disabled users are read as well.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from receiver.ingress.inputs.watcher import Watcher
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from receiver.bus.watches import Watermark
    from receiver.core.realm import AdminEvent
    from receiver.core.tenants import Tenant
    from receiver.ingress.inputs.resources import Resources
    from receiver.ops.source_settings import KeycloakSettings
    from receiver.outbound.keycloak import KeycloakClient

log = logging.getLogger("receiver.keycloak")

ORIGIN: Final = "keycloak"

OVERLAP_MS = 60_000
"""Milliseconds before the last event that are read once more: nodes commit in another order than their clocks say."""


class KeycloakWatch(Watcher):
    """The watcher of one realm; it works while it holds the lease.

    Args:
        resources: Of the receiver.
        tenant: The users' tenant.
        client: Our access to the realm.
        settings: Of the tenant.
    """

    def __init__(
        self, resources: Resources, tenant: Tenant, client: KeycloakClient, settings: KeycloakSettings
    ) -> None:
        super().__init__(resources, ORIGIN, tenant, interval_s=settings.interval_s)
        self._client = client
        self._settings = settings
        self._asked = False
        self._done: dict[str, int] = {}

    async def take_in(self, position: Watermark, now: float) -> Watermark:
        """Admin events since the last look, and now and then who is disabled."""
        if not self._asked:
            await self._ask_for_events()
        first = not position.dates_at
        # What was before the watch began is no affair of it.
        now_ms = int(now * 1000)
        since_ms = min(int(position.link), now_ms) if position.link.isdecimal() else now_ms
        new = []
        for event in await self._client.events_since(since_ms - OVERLAP_MS):
            if event.id not in self._done:
                await self._take_event(event, now)
                new.append(event)
            # One that is dated ahead, by a node's clock, must not hide what is dated rightly until then.
            since_ms = max(since_ms, min(event.at_ms, now_ms))
        changed = any(event.what == "account changed" for event in new)
        if first or changed or now - position.ended_at >= self._settings.sweep_s:
            await self._take_disabled(now, first=first)
            position = replace(position, ended_at=now)
        self._done |= {event.id: event.at_ms for event in new}
        self._done = {name: at_ms for name, at_ms in self._done.items() if at_ms >= since_ms - OVERLAP_MS}
        return replace(position, link=str(since_ms), dates_at=now)

    async def _ask_for_events(self) -> None:
        if not await self._client.keeps_events():
            emit(
                log, logging.WARNING, "keycloak.no_admin_events", tenant=self._of.name,
                action="switch on admin events in the realm's settings: without them a logout of the whole realm and "
                "deleted users are not seen",
            )  # fmt: skip
        self._asked = True

    async def _take_event(self, event: AdminEvent, now: float) -> None:
        if event.what == "account deleted" and event.user is not None:
            await self._end([event.user], event.what, event.id, event.at_ms // 1000, now)
        elif event.what == "realm logged out":
            async for users in self._client.users():
                await self._end(users, event.what, event.id, event.at_ms // 1000, now)
                await self._lease.hold()

    async def _take_disabled(self, now: float, *, first: bool) -> None:
        disabled, enabled = await self.turned(self._client.users(disabled=True))
        if not first:
            await self._end(sorted(disabled), "account disabled", str(int(now)), int(now), now)
        await self._watch.note_off(disabled, enabled)

    async def _end(self, users: Iterable[str], what: str, name: str, at: int, now: float) -> None:
        issuer = self._of.issuer
        await self.accept(
            [self.ended(f"{user}\n{what}\n{name}", iss=issuer, sub=user, reason=what, at=at, now=now) for user in users]
        )
