"""Hear which keys are written: Redis's keyspace notifications. They are sent once and not kept, so they need repair."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from receiver.bus.link.connection import Failure, describe
from receiver.bus.link.servers import ServerConnection, is_demotion
from receiver.tasks import cancel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import redis.asyncio
    from redis.asyncio.client import PubSub

SETTING = "notify-keyspace-events"

NEEDED = frozenset("K$hg")
"""Notifications by key, for strings, hashes, and what concerns keys of any type (RENAME, RESTORE)."""

WRITES = frozenset({b"set", b"hset", b"hmset", b"setrange", b"append", b"rename_to", b"restore", b"copy_to"})
"""Events after which a value may be another one."""


WRITING_NOTHING = "#!lua\nreturn 0"
"""A script that may write, so that a replica refuses it; Redis before 7 refuses it everywhere, as it does not know the
first line. It needs no right to a key."""

NO_KEY = "\0logout-receiver"
"""What no app calls a key below its prefix: to remove it needs no script, changes nothing, and a replica refuses it."""

READ_S = 1.0
"""Seconds one read from the connection waits; nothing depends on it."""


class CacheChanges:
    """Hears the writes to the keys of some prefixes.

    Args:
        clients: Of the Redis with the caches; of a Cluster one for each primary, which tells of its own keys only.
        patterns: Globs of the keys.
        owned: Whether the clients are closed with it.

    Attributes:
        heard_at: Monotonic seconds of the last notification, of any key.
    """

    def __init__(self, clients: Sequence[redis.asyncio.Redis], patterns: Iterable[str], *, owned: bool = False) -> None:
        self._clients = clients
        self._owned = owned
        database = clients[0].connection_pool.connection_kwargs.get("db", 0) or 0
        self._head = f"__keyspace@{database}__:"
        self._patterns = list(dict.fromkeys(self._head + pattern for pattern in patterns))
        self._readers: list[asyncio.Task[None]] = []
        self._keys: set[str] = set()
        self._news = asyncio.Event()
        self.heard_at = float("-inf")

    async def open(self) -> str:
        """Begin to listen, and have Redis send what is needed.

        Returns:
            Empty, or in one line why Redis may not send anything.

        Raises:
            Failure: Redis does not answer.
        """
        problem = ""
        for client in self._clients:
            pubsub = client.pubsub()
            await pubsub.psubscribe(*self._patterns)
            self._readers.append(asyncio.create_task(self._read(pubsub)))
            problem = await _switch_on(client) or problem
        return problem

    async def be_at_primary(self) -> None:
        """Notices a server that is not the primary any more, which reads do not show; `wait` raises then.

        Raises:
            Failure: Redis does not answer, or it is of a Cluster and not the primary any more.
        """
        for client in self._clients:
            try:
                await client.eval(WRITING_NOTHING, 0)
            except ResponseError as error:
                if is_demotion(error):
                    raise
                # Redis before 7, or no right to scripts. Which keys a node of a Cluster has is not known here.
                if not self._owned:
                    await self._unlink_nothing(client)

    async def _unlink_nothing(self, client: redis.asyncio.Redis) -> None:
        """Try to write without a script, below a prefix: where all caches have one key each, there is none to try."""
        for prefix in filter(None, map(_prefix_of, self._patterns)):
            try:
                await client.unlink(prefix[len(self._head) :] + NO_KEY)
            except ResponseError as error:
                if is_demotion(error):
                    raise

    async def are_off(self) -> bool:
        """Whether a server says that it sends nothing any more, or not all that is needed."""
        return False in [await are_sent(client) for client in self._clients]

    async def wait(self, *, timeout_s: float) -> set[str]:
        """The keys written since the last call; waits for the first one for `timeout_s` seconds at most.

        Raises:
            Failure: a connection is lost, and with it what was sent meanwhile.
        """
        waiting = asyncio.create_task(self._news.wait())
        try:
            done, _ = await asyncio.wait(
                [waiting, *self._readers], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        for reader in self._readers:
            if reader in done:
                reader.result()
        self._news.clear()
        keys, self._keys = self._keys, set()
        return keys

    async def aclose(self) -> None:
        """Stop listening."""
        await cancel(*self._readers)
        for client in self._clients if self._owned else ():
            await client.aclose()

    async def _read(self, pubsub: PubSub) -> None:
        confirmed = 0
        try:
            while True:
                # It is never given back to the pool, where it would be opened anew.
                if isinstance(pubsub.connection, ServerConnection) and pubsub.connection.is_outdated:
                    raise RedisConnectionError("not the primary any more")
                message: dict[str, Any] | None = await pubsub.get_message(timeout=READ_S)
                if message is not None and message["type"] == "psubscribe":
                    # The client connects anew by itself and says nothing, but what was sent meanwhile is lost.
                    confirmed += 1
                    if confirmed > len(self._patterns):
                        raise RedisConnectionError("the connection was lost, and notifications with it")
                if message is None or message["type"] != "pmessage":
                    continue
                self.heard_at = time.monotonic()
                if message["data"] not in WRITES:
                    continue
                channel = text_of(message["channel"])
                if channel is not None:
                    self._keys.add(channel[len(self._head) :])
                    self._news.set()
        finally:
            await pubsub.aclose()


def _prefix_of(pattern: str) -> str:
    """What the keys of a glob begin with; empty for the glob of one key."""
    return re.sub(r"\\(.)", r"\1", pattern[:-1]) if re.search(r"[^\\]\*$", pattern) else ""


def text_of(key: bytes) -> str | None:
    """A key's name; None for one that is no text, and so none of a cache we know."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None


async def are_sent(client: redis.asyncio.Redis) -> bool | None:
    """Whether this Redis sends what is needed; None where it does not say."""
    try:
        return not _missing(await _flags(client))
    except Failure:
        return None


async def _flags(client: redis.asyncio.Redis) -> str:
    shown: dict[Any, Any] = await client.config_get(SETTING)
    flags = next(iter(shown.values()), "")
    return flags.decode() if isinstance(flags, bytes) else str(flags)


def _missing(flags: str) -> str:
    present = set(flags) | (set("g$lshzxetd") if "A" in flags else set())
    return "".join(sorted(NEEDED - present))


async def _switch_on(client: redis.asyncio.Redis) -> str:
    """Add what we need to what others asked for; a managed Redis may refuse to say or to change it."""
    try:
        flags = await _flags(client)
    except Failure as error:
        return f"CONFIG GET is refused ({describe(error)}); set {SETTING} to Kg$h on the server"
    if not _missing(flags):
        return ""
    try:
        await client.config_set(SETTING, flags + _missing(flags))
    except Failure as error:
        return f"CONFIG SET is refused ({describe(error)}); set {SETTING} to Kg$h on the server"
    return ""
