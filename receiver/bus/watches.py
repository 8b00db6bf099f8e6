"""How far a watcher has come with its source, where any of its replicas finds it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from receiver.bus.link.connection import pipelined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import redis.asyncio

    from receiver.bus.keys import KeyNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far one source was taken in. All dates are NumericDate seconds; 0 means never.

    Attributes:
        link: Where the source told us to go on; empty where it has not.
        dates_at: Every revocation of sessions until then is durable.
        ended_at: Every account that ended until then is.
        paused_until: The source wants no request before.
        dates_by: How its revocations are found, in the watcher's words; empty when that is not known yet.
    """

    link: str = ""
    dates_at: float = 0.0
    ended_at: float = 0.0
    paused_until: float = 0.0
    dates_by: str = ""

    @classmethod
    def read(cls, stored: Mapping[bytes, bytes]) -> Self:
        """As it is stored; what is missing or damaged counts as never."""
        found = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in stored.items()}
        return cls(
            link=found.get("link", ""),
            dates_at=_seconds(found.get("dates_at")),
            ended_at=_seconds(found.get("ended_at")),
            paused_until=_seconds(found.get("paused_until")),
            dates_by=found.get("dates_by", ""),
        )

    def as_of(self, now: float, *, longest_pause_s: float) -> Watermark:
        """The same, read now. What a clock that was ahead has noted is no later than now, and its pause is over.

        Args:
            now: NumericDate seconds.
            longest_pause_s: Seconds that a pause may last.
        """
        is_paused = self.paused_until <= now + longest_pause_s
        return replace(
            self, dates_at=min(self.dates_at, now), ended_at=min(self.ended_at, now),
            paused_until=self.paused_until if is_paused else 0.0,
        )  # fmt: skip


class Watch:
    """What is kept of one source. Every method may raise what `connection.Failure` names.

    Args:
        client: Of the Redis with the events.
        keys: The names of the keys there.
        name: Of the source, as `graph:<tenant>`.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: KeyNames, name: str) -> None:
        self._client = client
        self._position = keys.watch(name)
        self._off = keys.watch_off(name)

    async def position(self) -> Watermark:
        """How far it has come."""
        stored: dict[Any, Any] = await self._client.hgetall(self._position)
        return Watermark.read(stored)

    async def move(self, position: Watermark) -> None:
        """Go on from there next time."""
        await self._client.hset(self._position, items=[part for pair in asdict(position).items() for part in pair])

    async def all_off(self) -> set[str]:
        """Every account that is known to be disabled."""
        stored: dict[Any, Any] = await self._client.hgetall(self._off)
        return {name.decode("utf-8", "replace") for name in stored}

    async def which_off(self, accounts: list[str]) -> set[str]:
        """Which of these are."""
        answers = await pipelined(self._client, [("HGET", self._off, account) for account in accounts])
        return {account for account, answer in zip(accounts, answers, strict=True) if answer is not None}

    async def note_off(self, off: Iterable[str], on: Iterable[str] = ()) -> None:
        """These accounts are disabled, and those are not."""
        disabled, enabled = [part for account in off for part in (account, "1")], list(on)
        if disabled:
            await self._client.hset(self._off, items=disabled)
        if enabled:
            await self._client.hdel(self._off, *enabled)


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0.0))
    except ValueError:
        return 0.0
