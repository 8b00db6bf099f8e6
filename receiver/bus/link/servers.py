"""Connections that find the primary by themselves: behind Sentinel, of one slot of a Cluster, and behind a name.

All our keys share one hash tag, so even on a Cluster one server at a time holds everything. What we need of
either topology is therefore the same: ask a server that knows where the primary is before every connection,
and ask again once it is gone. On top of such a connection a plain client works, with pipelines and blocking reads.

A server that was made a replica goes on answering on connections that are open, and may be told of nothing any more.
Replies to reads do not show it. So where one reply does, every connection of that client is opened anew.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import redis
import redis.asyncio
import redis.asyncio.connection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from receiver.bus.link.tls_files import TLSConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.bus.link.primary import Node, Primary

Failure = (RedisError, OSError, TimeoutError)
"""What a Redis command may raise."""

_OF_A_SCRIPT = re.compile(r"Error running script \(call to f_\w+\): (?:@user_script: ?\d+: )+(?:-(\w+) )?")
"""What Redis before 7 writes before the reply to a command in a script, and the code that reply has."""

_KINDS = {"OOM": OutOfMemoryError, "READONLY": ReadOnlyError}


def kind_and_text(error: ResponseError) -> str:
    """What Redis replied, in a line that is the same before Redis 7 and since where a command in a script failed."""
    text = str(error)
    script = _OF_A_SCRIPT.match(text)
    kind = _KINDS.get(script[1], type(error)) if script else type(error)
    return f"{kind.__name__}: {text[script.end() if script else 0 :][:160]}"


def is_demotion(error: ResponseError) -> bool:
    """Whether this reply says that the server is not, or not for now, the primary of our keys."""
    # Before Redis 7 a script's READONLY comes inside another error.
    text = str(error)
    return isinstance(error, MovedError | ClusterDownError | ReadOnlyError) or "READONLY" in text or "UNBLOCKED" in text


def is_passing(error: BaseException) -> bool:
    """Whether the same command may succeed a moment later: a failover, a restart, a moving slot, a long script."""
    if isinstance(error, ResponseError):
        text = str(error)
        return (
            is_demotion(error)
            or isinstance(error, AskError | TryAgainError)
            or text.startswith("BUSY ")
            or any(sign in text for sign in ("NOREPLICAS", "non local key", "undeclared"))
        )
    return isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError) and not isinstance(
        error, AuthenticationError
    )


class Demotions:
    """How often a server was found not to be the primary; one object serves all connections of a client."""

    def __init__(self) -> None:
        self.count = 0


class ServerConnection(redis.asyncio.Connection):
    """To one address, which may lead to another server later.

    Args:
        demotions: Shared by the client's connections.
        options: Of redis-py.
    """

    def __init__(self, *, demotions: Demotions, **options: Any) -> None:
        super().__init__(**options)
        self._demotions = demotions
        self._opened_at = 0

    @property
    def is_outdated(self) -> bool:
        """Whether it was opened before a server was found not to be the primary any more: it may lead to that one."""
        return self._opened_at != self._demotions.count

    async def connect(self) -> None:
        """As in redis-py, which calls it before each use; one from before a demotion is opened anew."""
        if self.is_connected and self.is_outdated:
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]

    async def _connect(self) -> None:
        # The lowest place where an address is used: redis-py reconnects from several others.
        self._opened_at = self._demotions.count
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """As in redis-py; a server that is no longer the primary is a lost connection."""
        try:
            return await super().read_response(*arguments, **options)
        except ResponseError as error:
            if not is_demotion(error):
                raise
            await self.disconnect(nowait=True)
            raise self.demoted() from error

    def demoted(self) -> redis.ConnectionError:
        """The server is not the primary any more: all connections of the client are opened anew; what to raise."""
        self._demotions.count += 1
        self.lost()
        return redis.ConnectionError("not the primary any more")

    def lost(self) -> None:
        """The server failed, or is not the primary any more."""


class ServerTLSConnection(ServerConnection, TLSConnection):
    """The same over TLS."""


class PrimaryConnection(ServerConnection):
    """Connects to the primary, at its present address.

    Args:
        primary: Shared by the client's connections.
        asking: Options of connections to the nodes that are asked.
        options: Of `ServerConnection`.
    """

    def __init__(self, *, primary: Primary, asking: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self._primary = primary
        self._asking = asking

    async def _locate(self) -> Node:
        search = self._primary.search()
        try:
            node = next(search)
            while True:
                node = search.send(await self._ask(node))
        except StopIteration as found:
            return cast("Node", found.value)

    async def _ask(self, node: Node) -> Any:
        options = dict(self._asking)
        connection: redis.asyncio.Connection = options.pop("connection_class")(host=node[0], port=node[1], **options)
        try:
            await connection.connect()
            await connection.send_command(*self._primary.question.command)
            return await connection.read_response()
        except Failure as error:
            return error
        finally:
            await connection.disconnect(nowait=True)

    async def _connect(self) -> None:
        self.host, self.port = await self._locate()
        try:
            await super()._connect()
        except BaseException:
            self.lost()
            raise

    def lost(self) -> None:
        """As there: ask where the primary is before the next connection."""
        self._primary.lost((self.host, self.port))

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """As there; where nothing is read, the primary is asked for again."""
        try:
            return await super().read_response(*arguments, **options)
        except (redis.ConnectionError, redis.TimeoutError):
            self.lost()
            raise


class PrimaryTLSConnection(PrimaryConnection, TLSConnection):
    """The same over TLS."""


def at_address(*, tls: bool) -> dict[str, Any]:
    """Options of a pool whose address leads to the primary."""
    return {"connection_class": ServerTLSConnection if tls else ServerConnection, "demotions": Demotions()}


def at_primary(primary: Primary, asking: Mapping[str, Any], *, tls: bool) -> dict[str, Any]:
    """Options of a pool that asks where the primary is."""
    kind = PrimaryTLSConnection if tls else PrimaryConnection
    return {"connection_class": kind, "primary": primary, "asking": asking, "demotions": Demotions()}
