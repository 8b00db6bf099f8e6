"""Round trips that callers share: what many of them ask at the same time goes to Redis in one pipeline.

Work on one logout is a few questions, one after the other. Worked on side by side, a hundred of them ask at the same
moment; sent one by one, each question would cost a round trip and most of the processor's time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from receiver.bus.link.exchange import Command, exchange_packed, good, pack
from receiver.tasks import cancel

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio
    from redis.asyncio.cluster import RedisCluster

    from receiver.bus.lua import Argument, Script

MAX_COMMANDS = 500
"""Commands in one round trip, unless one caller asks more: Redis serves no other client between two of them for long,
and a larger trip only makes the first ones wait."""

ENOUGH = 48
"""Commands that go at once, although another trip is under way; fewer wait for its return, so that they gather."""

MAX_TRIPS = 16
"""Trips under way at the same time, each on a connection of its own. More of them hide a longer network."""


@dataclass(slots=True)
class _Asked:
    commands: Sequence[Command]
    packed: bytes
    replies: asyncio.Future[list[Any]]


class Trips:
    """The round trips of one client.

    Args:
        client: Without response decoding, of one server; owned by the caller.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._asked: deque[_Asked] = deque()
        self._waiting = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_called = False

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Their replies, in order, in one round trip with what others ask; an error of one command is its reply.

        May raise what `connection.Failure` names: then it is unknown which of them were carried out.
        """
        if not commands:
            return []
        loop = asyncio.get_running_loop()
        # Here, so that what cannot be sent is an error of its caller alone.
        asked = _Asked(commands, b"".join(map(pack, commands)), loop.create_future())
        self._asked.append(asked)
        self._waiting += len(commands)
        if not self._is_called:
            # After all that run now: they may ask, too.
            self._is_called = True
            loop.call_soon(self._depart)
        return await asked.replies

    async def all(self, commands: Sequence[Command]) -> list[Any]:
        """As `ask`; raises the first error among the replies."""
        return good(await self.ask(commands))

    async def one(self, *command: Argument) -> Any:
        """The reply to one command; raises its error."""
        return (await self.all([command]))[0]

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """What the script returns. A server that has forgotten it is sent the text."""
        call = (len(keys), *keys, *arguments)
        try:
            return await self.one("EVALSHA", script.sha, *call)
        except NoScriptError:
            return await self.one("EVAL", script.text, *call)

    async def aclose(self) -> None:
        """End what is under way; those who asked are cancelled."""
        for asked in self._asked:
            asked.replies.cancel()
        self._asked.clear()
        await cancel(*self._under_way)

    def _depart(self) -> None:
        self._is_called = False
        while self._asked and len(self._under_way) < MAX_TRIPS and (self._waiting >= ENOUGH or not self._under_way):
            trip = asyncio.create_task(self._travel(self._next()))
            self._under_way.add(trip)
            trip.add_done_callback(self._returned)

    def _next(self) -> list[_Asked]:
        first = self._asked.popleft()
        load, size = [first], len(first.commands)
        while self._asked and size + len(self._asked[0].commands) <= MAX_COMMANDS:
            load.append(self._asked.popleft())
            size += len(load[-1].commands)
        self._waiting -= size
        return [asked for asked in load if not asked.replies.done()]

    async def _travel(self, load: list[_Asked]) -> None:
        try:
            replies = await self._replies(load)
        except asyncio.CancelledError:
            for asked in load:
                asked.replies.cancel()
            raise
        except Exception as error:  # noqa: BLE001  # those who asked are told of any fault
            for asked in load:
                if not asked.replies.done():
                    asked.replies.set_exception(error)
            return
        at = 0
        for asked in load:
            if not asked.replies.done():
                asked.replies.set_result(replies[at : at + len(asked.commands)])
            at += len(asked.commands)

    async def _replies(self, load: Sequence[_Asked]) -> list[Any]:
        packed, count = b"".join(asked.packed for asked in load), sum(len(asked.commands) for asked in load)
        return await exchange_packed(self._client, packed, count)

    def _returned(self, trip: asyncio.Task[None]) -> None:
        self._under_way.discard(trip)
        self._depart()


class ClusterTrips(Trips):
    """The same on a Cluster, where the client finds the node of each key.

    Args:
        cluster: Owned by the caller.
    """

    def __init__(self, cluster: RedisCluster) -> None:
        client: Any = cluster
        super().__init__(client)

    async def _replies(self, load: Sequence[_Asked]) -> list[Any]:
        pipeline: Any
        async with self._client.pipeline(transaction=False) as pipeline:
            for asked in load:
                for command in asked.commands:
                    pipeline.execute_command(*command)
            return list(await pipeline.execute(raise_on_error=False))


def pairs_of(reply: Any) -> dict[bytes, bytes]:
    """A hash as HGETALL answers it: a mapping in the newer protocol, a list in the older one."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
