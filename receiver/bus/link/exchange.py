"""Many commands in one round trip: packed by us, sent as one piece, their replies parsed in one go.

A redis-py pipeline does the same at three times the cost, most of it in Python for each command and each reply. The
connection stays redis-py's, from the client's pool: how the primary is found, TLS, credentials and their renewal are
the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from redis.exceptions import InvalidResponse, NoScriptError, ResponseError

from receiver.bus.link.servers import ServerConnection, is_demotion

try:
    import hiredis
except ImportError:
    # The service has it, an app with the consumer library need not.
    _INSTALLED = False
else:
    _INSTALLED = True
    _PUSHED = getattr(hiredis, "PushNotification", None)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.bus.lua import Argument, Script

Command = tuple[str | int | float | bytes | memoryview, ...]

CHUNK = 64 * 1024
"""Bytes read from the socket at once."""

KEEP_S = 10.0
"""Seconds after which a connection goes through its pool again before it is used: redis-py renews credentials of
Microsoft Entra there, minutes before they end, and looks whether the server has closed it. Shorter makes what comes
alone wait for that more often."""

_PENDING = object()


def pack(command: Command) -> bytes:
    """The bytes of a command.

    Raises:
        ValueError: text in it cannot be sent.
    """
    if not _INSTALLED:
        return _packed_in_python(command)
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # any length
    return packed


def _packed_in_python(command: Command) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        value = bytes(argument) if isinstance(argument, bytes | memoryview) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


async def exchange_packed(client: redis.asyncio.Redis, packed: bytes, count: int) -> list[Any]:
    """Send commands over one connection and return their replies in order; an error reply is in its place.

    A connection that breaks is replaced once, and everything sent again: only for commands that are safe to repeat.

    Args:
        client: Whose connection.
        packed: The commands, each as `pack` returns it.
        count: How many.

    Raises:
        redis.ConnectionError, redis.TimeoutError, OSError: as a command of the client's would.
    """
    once = Exchange(client)
    try:
        return await once.packed(packed, count)
    finally:
        await once.release()


async def ask(client: redis.asyncio.Redis, commands: Sequence[Command]) -> list[Any]:
    """`exchange_packed` of commands that are not packed yet; raises the first error among their replies."""
    return good(await exchange_packed(client, b"".join(map(pack, commands)), len(commands)))


def good(replies: list[Any]) -> list[Any]:
    """These replies; raises the first error among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


async def run(client: redis.asyncio.Redis, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
    """As `Script.run`, for hundreds of arguments: redis-py packs each in Python, a millisecond for every 500."""
    call = (len(keys), *keys, *arguments)
    try:
        (reply,) = await ask(client, [("EVALSHA", script.sha, *call)])
    except NoScriptError:
        (reply,) = await ask(client, [("EVAL", script.text, *call)])
    return reply


class Exchange:
    """`exchange_packed` again and again over the same connection, for one caller at a time.

    To take a connection from redis-py's pool and to give it back costs as much as a round trip, so it is kept, also
    while nothing is asked; the pool closes it with the others.

    Args:
        client: Owned by the caller.

    Attributes:
        link: Another object with each connection to a server that is used; None before the first.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self.link: object = None
        self._connection: Any = None
        self._keep_until = 0.0

    async def __call__(self, commands: Sequence[Command]) -> list[Any]:
        """As `packed`, of commands that are not packed yet."""
        return await self.packed(b"".join(map(pack, commands)), len(commands))

    async def packed(self, packed: bytes, count: int) -> list[Any]:
        """As `exchange_packed`."""
        try:
            return await self._once(packed, count)
        except (redis.ConnectionError, OSError) as error:
            # A wrong password, and a server that says it has too many clients, are as wrong at once again.
            if isinstance(error, redis.AuthenticationError | redis.TimeoutError | TimeoutError):
                raise
            return await self._once(packed, count)

    async def release(self) -> None:
        """Give the connection back to the pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await self._client.connection_pool.release(connection)
            except (redis.RedisError, OSError):
                # It was to authenticate anew. The next one who takes it connects, and is told what is wrong.
                await connection.disconnect(nowait=True)

    async def _once(self, packed: bytes, count: int) -> list[Any]:
        now = asyncio.get_running_loop().time()
        if self._connection is not None and (now >= self._keep_until or not _is_usable(self._connection)):
            await self.release()
        if self._connection is None:
            self._connection = await self._client.connection_pool.get_connection()
            self._keep_until = now + KEEP_S
        # redis-py opens a connection anew in the same object. It has called this so since 4.2; should it no longer, a
        # connection that was replaced within a read is not seen, and reading goes on.
        self.link = getattr(self._connection, "_writer", None)
        try:
            return await _round_trip(self._connection, packed, count)
        except BaseException:
            # Replies may be under way, which the next user would take for its own.
            await self._connection.disconnect(nowait=True)
            await self.release()
            raise


async def _round_trip(connection: Any, packed: bytes, count: int) -> list[Any]:
    try:
        # Its own way to send waits, in a task, until the bytes are out. Here that is told by the replies.
        connection._writer.write(packed)  # noqa: SLF001
        async with asyncio.timeout(connection.socket_timeout):
            replies = await (_replies if _INSTALLED else _replies_by_redis_py)(connection, count)
    except TimeoutError:
        _lost(connection)
        raise redis.TimeoutError("no reply in time") from None
    except (redis.ConnectionError, OSError):
        _lost(connection)
        raise
    for reply in replies:
        if isinstance(reply, ResponseError) and isinstance(connection, ServerConnection) and is_demotion(reply):
            raise connection.demoted() from reply
        if isinstance(reply, redis.ConnectionError):
            raise reply
    return replies


async def _replies(connection: Any, count: int) -> list[Any]:
    parser = hiredis.Reader(
        protocolError=InvalidResponse, replyError=connection._parser.parse_error, notEnoughData=_PENDING  # noqa: SLF001
    )  # fmt: skip
    replies: list[Any] = []
    while len(replies) < count:
        parser.feed(await _read(connection))
        while (reply := parser.gets(False)) is not _PENDING:
            # What a server tells unasked under RESP3 is no reply.
            if type(reply) is not _PUSHED:
                replies.append(reply)
    return replies


async def _replies_by_redis_py(connection: Any, count: int) -> list[Any]:
    replies: list[Any] = []
    for _ in range(count):
        try:
            replies.append(await connection.read_response(disable_decoding=True))
        except ResponseError as error:
            replies.append(error)
    return replies


async def _read(connection: Any) -> bytes:
    # redis-py calls its reader so since 4.2; there is no public way to the bytes that came in.
    chunk: bytes = await connection._reader.read(CHUNK)  # noqa: SLF001
    if not chunk:
        raise redis.ConnectionError("Redis closed the connection")
    return chunk


def _is_usable(connection: Any) -> bool:
    return bool(connection.is_connected) and not (isinstance(connection, ServerConnection) and connection.is_outdated)


def _lost(connection: object) -> None:
    if isinstance(connection, ServerConnection):
        connection.lost()
