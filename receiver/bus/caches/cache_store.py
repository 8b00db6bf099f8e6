"""The apps' shared caches in Redis, as the evictor touches them: read many, swap one, delete, list.

A value is a string, some fields of a hash, or all of them; of some keys only the presence counts, with any type.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError

from receiver.bus.caches.blobs import CUT, SWAP, cut_arguments, swap_arguments
from receiver.bus.caches.cache_changes import CacheChanges, are_sent, text_of
from receiver.bus.link import databases
from receiver.bus.link.servers import Failure
from receiver.bus.link.trips import Trips, pairs_of
from receiver.core.layouts.layout import STRING, Cut, Raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    import redis.asyncio

    from receiver.bus.link.exchange import Command

SCAN_COUNT = 1000
"""Keys looked at in one step of a SCAN, during which Redis serves no other client: more takes longer."""


SLOW_S = 1.0
"""Seconds a failure may take. One that took longer opens the circuit: not every eviction waits for it in turn."""


class CircuitOpenError(RedisConnectionError):
    """This Redis did not answer in time, and has not answered since: it is not asked again before it does."""


class CacheStore:
    """One Redis that holds caches. Every method may raise what `connection.Failure` names.

    Args:
        client: Without response decoding; owned by the caller.
        trips: Of that client; None makes them.

    Attributes:
        changed_at: Monotonic seconds before the last change of a value that Redis notifies of, where it does; noted by
            who makes it.
    """

    def __init__(self, client: redis.asyncio.Redis, trips: Trips | None = None) -> None:
        self._client = client
        self._trips = trips or Trips(client)
        self._is_open = False
        self.changed_at = float("-inf")

    @contextlib.contextmanager
    def circuit(self) -> Iterator[None]:
        """A circuit breaker around commands: fails fast while this Redis is known not to answer.

        Raises:
            CircuitOpenError: until it has answered `probe`.
        """
        if self._is_open:
            raise CircuitOpenError("does not answer")
        began = time.monotonic()
        try:
            yield
        except Failure:
            # Others ask at the same time: one that fails fast does not say that it answers again.
            self._is_open |= time.monotonic() - began >= SLOW_S
            raise

    async def aclose(self) -> None:
        """End what is under way; the client stays open."""
        await self._trips.aclose()

    async def probe(self) -> None:
        """Close the circuit again if Redis answers by now. Never raises."""
        if not self._is_open:
            return
        try:
            # A user who may not ask is answered too.
            with contextlib.suppress(ResponseError):
                await self._ping()
        except Failure:
            return
        self._is_open = False

    async def _ping(self) -> None:
        await self._client.ping()

    async def changes(self, patterns: Iterable[str]) -> CacheChanges:
        """Hears which keys of these globs are written; opened and closed by the caller."""
        return CacheChanges([self._client], patterns)

    async def notifies(self) -> bool | None:
        """Whether Redis tells of writes already; None where it does not say."""
        return await are_sent(self._client)

    async def sizes(self, keys: Sequence[str], fields: Sequence[str] | None) -> list[int] | None:
        """Bytes of each value's fields together, 0 for what is missing; None where Redis grants no right to that.

        Of all fields of a hash they are what Redis has allocated for them.
        """
        if fields is None:
            # Fields that are not known by name have no other size.
            usages = await self._trips.ask([("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys])
            if any(isinstance(usage, ResponseError) for usage in usages):
                # Not granted, or renamed.
                return None
            return [usage or 0 for usage in usages]
        if not fields:
            return [0] * len(keys)
        replies = await self._trips.ask(
            [
                ("STRLEN", key) if field == STRING else ("HSTRLEN", key, field)
                for key, field in itertools.product(keys, fields)
            ]
        )
        if any(isinstance(reply, NoPermissionError) for reply in replies):
            return None
        sizes = [_reply(reply) or 0 for reply in replies]
        return [sum(sizes[at : at + len(fields)]) for at in range(0, len(sizes), len(fields))]

    async def read(self, keys: Sequence[str], fields: Sequence[str] | None) -> list[Raw | None]:
        """The values in order, in one round trip; None for what is missing or of another type.

        Args:
            keys: Their names.
            fields: What is read of each: `(STRING,)`, names of fields of a hash of which the first must be there, None
                for all fields, or `()` where only the presence of the key counts.
        """
        if fields is None:
            commands: list[Command] = [("HGETALL", key) for key in keys]
        elif not fields:
            commands = [("EXISTS", key) for key in keys]
        else:
            commands = [
                ("GET", key) if field == STRING else ("HGET", key, field)
                for key, field in itertools.product(keys, fields)
            ]
        replies = [_reply(reply) for reply in await self._trips.ask(commands)]
        count = len(fields) if fields else 1
        return [_raw(replies[at : at + count], fields) for at in range(0, len(replies), count)]

    async def swap(self, key: str, field: str, *, read: bytes, new: bytes | None) -> bool:
        """Put `new` in place of the value that was read, or delete the key when it is None; keeps its lifetime.

        Args:
            key: Its name.
            field: Of a hash, or `STRING`.
            read: The value to replace.
            new: The value to put there.

        Returns:
            False when another client has written it since; nothing was changed.
        """
        return bool(await self._trips.run(SWAP, [key], swap_arguments(field, read, new)))

    async def cut(self, key: str, field: str, cut: Cut) -> bool:
        """Take these members out of the value, also when others in it have changed since; keeps its lifetime.

        Args:
            key: Its name.
            field: Of a hash, or `STRING`.
            cut: What goes.

        Returns:
            False when another client has changed just these since they were read; nothing was changed.
        """
        return bool(await self._trips.run(CUT, [key], cut_arguments(field, cut)))

    async def delete(self, keys: Iterable[str]) -> int:
        """Delete these keys; how many were there."""
        names = list(keys)
        return int(await self._trips.one("UNLINK", *names)) if names else 0

    async def scan(self, pattern: str) -> AsyncIterator[list[str]]:
        """Every key that matches the glob and is there from beginning to end, in batches; some may come twice."""
        cursor = 0
        while True:
            found: Any
            cursor, found = await self._client.scan(cursor, match=pattern, count=SCAN_COUNT)
            if found:
                yield [name for name in map(text_of, found) if name is not None]
            if cursor == 0:
                return

    async def databases_with(self, pattern: str, *, steps: int) -> list[int]:
        """Other databases of this server that have keys like this, as far as so many steps of a SCAN show."""
        found = []
        async with databases.others(self._client) as others:
            for number, other in others.items():
                cursor: Any = 0
                for _ in range(steps):
                    cursor, keys = await other.scan(cursor, match=pattern, count=SCAN_COUNT)
                    if keys:
                        found.append(number)
                    if keys or cursor == 0:
                        break
        return found

    async def members(self, key: str) -> list[bytes]:
        """The members of a set; empty when there is none."""
        try:
            found: Any = await self._trips.one("SMEMBERS", key)
        except ResponseError as error:
            if not _is_of_another_type(error):
                raise
            return []
        return list(found)

    async def remove_member(self, key: str, member: bytes) -> None:
        """Take a member out of a set."""
        await self._trips.one("SREM", key, member)


def glob(prefix: str) -> str:
    """The pattern of all keys that begin with this text."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in prefix) + "*"


def _is_of_another_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


def _reply(reply: Any) -> Any:
    """What one command answered; None where the key is of another type."""
    if isinstance(reply, Exception):
        if _is_of_another_type(reply):
            return None
        raise reply
    return reply


def _raw(replies: Sequence[Any], fields: Sequence[str] | None) -> Raw | None:
    first = replies[0]
    if first is None or first in (0, {}):
        return None
    if fields is None:
        return {name.decode(errors="replace"): value for name, value in pairs_of(first).items()} or None
    return {field: value for field, value in zip(fields, replies, strict=False) if value is not None}
