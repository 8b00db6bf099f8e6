"""A poller of a source that does not keep what it has told: how far it was taken in is kept in Redis."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.bus.watches import Watch, Watermark
from receiver.core.eviction import Eviction, eviction_id
from receiver.errors import SourceError
from receiver.ingress.inputs.poller import Poller
from receiver.outbound.source import LONGEST_PAUSE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from receiver.core.tenants import Tenant
    from receiver.ingress.inputs.resources import Resources


class Watcher(Poller):
    """Takes in what has happened since the last look, and moves on once that is durable.

    Args:
        resources: Of the receiver.
        origin: As `Poller`.
        tenant: The users' tenant.
        interval_s: Seconds between two looks.
    """

    def __init__(self, resources: Resources, origin: str, tenant: Tenant, *, interval_s: float) -> None:
        super().__init__(resources, origin, tenant.name, interval_s=interval_s)
        self._of = tenant
        self._watch = Watch(resources.redis, resources.keys, self.name)
        self._metrics = resources.metrics

    @abstractmethod
    async def take_in(self, position: Watermark, now: float) -> Watermark:
        """Make durable what happened since this position; where to go on.

        Args:
            position: `dates_at` is 0 the first time.
            now: NumericDate seconds.

        Raises:
            DependencyError: as `Poller.look`; the same position comes again.
        """

    def ended(self, name: str, *, iss: str, sub: str, reason: str, at: int, now: float) -> Eviction:
        """All sessions of one user are over.

        Args:
            name: Tells this end from all others of the source; with the same name it is a repeat.
            iss: The issuer of `sub`.
            sub: The user.
            reason: For apps and the audit log.
            at: NumericDate seconds; a date ahead of our clock counts as now.
            now: NumericDate seconds.
        """
        return Eviction.for_subject(
            self._of, id=eviction_id(f"{self._origin}:{self._of.name}", name), iss=iss, sub=sub, sid=None,
            logout_at=min(at, int(now)), received_at=now, input="revocation", applies_to="tenant",
            origin=self._origin, reason=reason,
        )  # fmt: skip

    async def accept(self, evictions: Sequence[Eviction]) -> None:
        """Make them durable.

        Raises:
            DependencyError: They are not; offer them again.
        """
        if evictions:
            await self._intake.accept(self._origin, evictions)

    async def turned(self, disabled: AsyncIterator[Iterable[str]]) -> tuple[set[str], set[str]]:
        """Users who are disabled and were not at the last look, and those who were and no longer are.

        Args:
            disabled: The ids of all who are, page by page.
        """
        off: set[str] = set()
        async for users in disabled:
            off.update(users)
            await self._lease.hold()
        known = await self._watch.all_off()
        return off - known, known - off

    async def look(self) -> float:
        """Take in once."""
        now = self._clock()
        position = (await self._watch.position()).as_of(now, longest_pause_s=LONGEST_PAUSE_S)
        if position.paused_until > now:
            return position.paused_until - now
        try:
            position = replace(await self.take_in(position, now), paused_until=0.0)
        except SourceError as error:
            if error.pause_s:
                # For the receiver that takes over, too.
                await self._watch.move(replace(await self._watch.position(), paused_until=now + error.pause_s))
            raise
        if await self._lease.hold():
            # Else another receiver has taken over, and goes on from where it found us.
            await self._watch.move(position)
            self._show(position)
        return self._interval_s

    def _show(self, position: Watermark) -> None:
        label = self._metrics.tenant.of(self._of.name)
        for what, at in (("revocations", position.dates_at), ("accounts", position.ended_at)):
            self._metrics.watched_until.labels(label, self._origin, what).set(at)
