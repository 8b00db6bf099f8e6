"""The apps' shared caches in Redis, as the evictor touches them: read many, swap one, delete, list.

Three ways stacks store a value: as a string, in the field `data` of a hash (ASP.NET Core's Redis cache), spread over
the fields of a hash (Spring Session). Of a fourth only the key counts, whatever its type.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Literal

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from receiver.bus.blobs import SWAP, fingerprint
from receiver.bus.cache_changes import CacheChanges, are_sent, text_of
from receiver.bus.primary import Failure
from receiver.core.signatures import is_torn_spring_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    import redis.asyncio

Storage = Literal["string", "data", "fields", "key"]

DATA_FIELD = "data"
"""Hash field in which Microsoft.Extensions.Caching.StackExchangeRedis keeps the value."""

EXPIRY_FIELDS = ("absexp", "sldexp")
"""The two other fields it writes with it."""

BIRTH_FIELD = b"creationTime"
"""Hash field without which a Spring session is a torn one: saved by a request in flight after it was deleted."""

TORN = b""
"""Stands for such a value."""

SCAN_COUNT = 1000
"""Keys Redis looks at for one step of a SCAN: more takes longer during which nobody else is served."""


SLOW_S = 1.0
"""Seconds a failure may take. One that took longer is not waited for again by everybody in turn."""


class SilentError(RedisConnectionError):
    """This Redis kept somebody waiting for nothing, and has not answered since."""


class CacheStore:
    """One Redis that holds caches. Every method may raise what `connection.Failure` names.

    Args:
        client: Without response decoding; owned by the caller.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._silent = False

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Around what others wait for: fails at once while it is known that nobody answers.

        Raises:
            SilentError: until it has answered `ask_again`.
        """
        if self._silent:
            raise SilentError("does not answer")
        began = time.monotonic()
        try:
            yield
        except Failure:
            self._silent = time.monotonic() - began >= SLOW_S
            raise

    async def ask_again(self) -> None:
        """Find out whether a Redis that kept somebody waiting answers by now. Never raises."""
        if not self._silent:
            return
        try:
            # Whoever may not ask is answered too.
            with contextlib.suppress(ResponseError):
                await self._ping()
        except Failure:
            return
        self._silent = False

    async def _ping(self) -> None:
        await self._client.ping()

    async def changes(self, patterns: Iterable[str]) -> CacheChanges:
        """Hears which keys of these globs are written; opened and closed by the caller."""
        return CacheChanges([self._client], patterns)

    async def notifies(self) -> bool | None:
        """Whether Redis tells of writes already; None where it does not say."""
        return await are_sent(self._client)

    async def read(self, keys: Sequence[str], storage: Storage) -> list[bytes | None]:
        """The values in order, in one round trip; None for what is missing or of another type.

        A value spread over fields comes as its fields' values, one after the other, longest first, and then their
        names; empty when the field that a whole one begins with is missing. Of a key that counts by itself nothing is
        read: empty. A hash that has other fields than its layout says is of another program.
        """
        async with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                if storage == "string":
                    pipeline.get(key)  # type: ignore[unused-awaitable]  # queued
                elif storage == "key":
                    pipeline.exists(key)  # type: ignore[unused-awaitable]  # queued
                elif storage == "data":
                    pipeline.hget(key, DATA_FIELD)  # type: ignore[unused-awaitable]  # queued
                else:
                    pipeline.hgetall(key)  # type: ignore[unused-awaitable]  # queued
            replies = await pipeline.execute(raise_on_error=False)
        values = [_value(reply) for reply in replies]
        return await self._of_aspnet(keys, values) if storage == "data" else values

    async def _of_aspnet(self, keys: Sequence[str], values: Sequence[bytes | None]) -> list[bytes | None]:
        """Without what may be another program's: no JSON, and not with the other fields of ASP.NET Core's cache."""
        asked = [key for key, value in zip(keys, values, strict=True) if value is not None and value[:1] != b"{"]
        if not asked:
            return list(values)
        async with self._client.pipeline(transaction=False) as pipeline:
            for key in asked:
                for field in EXPIRY_FIELDS:
                    pipeline.hget(key, field)  # type: ignore[unused-awaitable]  # queued
            replies = await pipeline.execute()
        whole = {key for place, key in enumerate(asked) if None not in replies[2 * place : 2 * place + 2]}
        foreign = set(asked) - whole
        return [None if key in foreign else value for key, value in zip(keys, values, strict=True)]

    async def swap(self, key: str, storage: Storage, *, read: bytes, new: bytes | None) -> bool:
        """Put `new` in place of the value that was read, or delete the key when it is None; keeps its lifetime.

        Returns:
            False when somebody else has written it since; nothing was changed.
        """
        if storage in {"fields", "key"}:
            await self.delete([key])
            return True
        field = "" if storage == "string" else DATA_FIELD
        return bool(await SWAP.run(self._client, [key], [field, fingerprint(read), new or b""]))

    async def delete(self, keys: Iterable[str]) -> int:
        """Delete these keys; how many were there."""
        names = list(keys)
        return int(await self._client.unlink(*names)) if names else 0

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

    async def members(self, key: str) -> list[bytes]:
        """The members of a set; empty when there is none."""
        try:
            found: Any = await self._client.smembers(key)
        except ResponseError as error:
            if not _is_of_another_type(error):
                raise
            return []
        return list(found)

    async def remove_member(self, key: str, member: bytes) -> None:
        """Take a member out of a set."""
        await self._client.srem(key, member)


def glob(prefix: str) -> str:
    """The pattern of all keys that begin with this text."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in prefix) + "*"


def _is_of_another_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


def _value(reply: Any) -> bytes | None:
    if isinstance(reply, int):
        return b"" if reply else None
    if isinstance(reply, dict):
        if not reply or not is_torn_spring_session(set(reply)):
            return None
        values: list[bytes] = sorted(reply.values(), key=lambda value: -len(value))
        return b"\n".join([*values, *sorted(reply)]) if BIRTH_FIELD in reply else TORN
    if isinstance(reply, Exception) and not _is_of_another_type(reply):
        raise reply
    return reply if isinstance(reply, bytes) else None
