"""Whether a session or a user is known here: registered by an app, or found in a cache by the evictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.bus.link.connection import answering, pipelined
from receiver.core.marks import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import redis.asyncio

    from receiver.bus.keys import KeyNames
    from receiver.core.index_names import IndexNames


class KnownSessions:
    """Looks sessions up in what apps and the evictor have noted.

    Args:
        client: Of the Redis with the events; owned by the caller.
        keys: Key names.
        names: Those of the evictor's index, made from the configured secrets.
        clock: NumericDate seconds.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: KeyNames, names: IndexNames, *, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._keys = keys
        self._names = names
        self._clock = clock

    async def issuer_of(self, sid: str, issuers: Sequence[str]) -> str | None:
        """The first of these issuers at which a session of this id is known; None when it is at none.

        One round trip, of as many commands whether it is known or not.

        Raises:
            DependencyError: `redis`, when Redis does not answer.
        """
        asked = [(iss, place) for iss in issuers for place in self._places_of_session(digest("sid", iss, sid))]
        found = await self._ask([place for _, place in asked])
        return next((iss for (iss, _), lives in zip(asked, found, strict=True) if lives), None)

    async def knows_user(self, iss: str, sub: str) -> bool:
        """Whether anything of this subject is known.

        Raises:
            DependencyError: `redis`, when Redis does not answer.
        """
        user = digest("sub", iss, sub)
        places = [*self._indexed(user), *self._indexed(digest("account", "", sub))]
        with answering():
            registered = await self._client.exists(self._keys.user(user))
        return bool(registered) or any(await self._ask(places))

    async def _ask(self, places: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether there is something in each of these fields of hashes."""
        with answering():
            entries = await pipelined(self._client, [("HGET", key, name) for key, name in places])
        now_s = self._clock()
        return [_lives(entry, now_s) for entry in entries]

    def _places_of_session(self, session: str) -> Iterator[tuple[str, str]]:
        yield self._keys.session_bucket(session), session
        yield from self._indexed(session)

    def _indexed(self, plain: str) -> Iterator[tuple[str, str]]:
        for name in self._names.read(plain):
            yield self._keys.index_bucket(name), name
            yield self._keys.places_bucket(name), name


def _lives(entry: bytes | None, now_s: float) -> bool:
    # As register.lua and learn.lua write it: `expires,…`. An entry that is not so was still put there.
    if entry is None:
        return False
    expires = entry.partition(b",")[0]
    return not expires.isdigit() or int(expires) > now_s
