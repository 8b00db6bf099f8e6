"""Hear which keys are written: Redis's keyspace notifications. They are sent once and not kept, so they need repair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from receiver.bus.connection import Failure, describe

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis.asyncio

SETTING = "notify-keyspace-events"

NEEDED = frozenset("K$hg")
"""Notifications by key, for strings, hashes, and what concerns keys of any type (RENAME, RESTORE)."""

WRITES = frozenset({b"set", b"hset", b"hmset", b"setrange", b"append", b"rename_to", b"restore", b"copy_to"})
"""Events after which a value may be another one."""


class CacheChanges:
    """Hears the writes to the keys of some prefixes.

    Args:
        client: Of the Redis with the caches; its socket timeout is longer than the waits asked for.
        patterns: Globs of the keys.
    """

    def __init__(self, client: redis.asyncio.Redis, patterns: Iterable[str]) -> None:
        self._pubsub = client.pubsub()
        self._client = client
        database = client.connection_pool.connection_kwargs.get("db", 0) or 0
        self._head = f"__keyspace@{database}__:"
        self._patterns = [self._head + pattern for pattern in patterns]

    async def open(self) -> str:
        """Begin to listen, and have Redis send what is needed.

        Returns:
            Empty, or in one line why Redis may not send anything.

        Raises:
            Failure: Redis does not answer.
        """
        await self._pubsub.psubscribe(*self._patterns)
        return await _switch_on(self._client)

    async def wait(self, *, timeout_s: float) -> set[str]:
        """The keys written since the last call; waits for the first one for `timeout_s` seconds at most.

        Raises:
            Failure: the connection is lost, and with it what was sent meanwhile.
        """
        keys: set[str] = set()
        message: dict[str, Any] | None = await self._pubsub.get_message(timeout=timeout_s)
        while message is not None:
            if message["type"] == "pmessage" and message["data"] in WRITES:
                channel = text_of(message["channel"])
                if channel is not None:
                    keys.add(channel[len(self._head) :])
            message = await self._pubsub.get_message(timeout=0.0)
        return keys

    async def aclose(self) -> None:
        """Stop listening."""
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]


def text_of(key: bytes) -> str | None:
    """A key's name; None for one that is no text, and so none of a cache we know."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None


async def _switch_on(client: redis.asyncio.Redis) -> str:
    """Add what we need to what others asked for; a managed Redis may refuse to say or to change it."""
    try:
        shown: dict[Any, Any] = await client.config_get(SETTING)
        flag_text = next(iter(shown.values()), "")
        flags = flag_text.decode() if isinstance(flag_text, bytes) else str(flag_text)
    except Failure as error:
        return f"CONFIG GET is refused ({describe(error)}); set {SETTING} to Kg$h on the server"
    present = set(flags) | (set("g$lshzxetd") if "A" in flags else set())
    if present >= NEEDED:
        return ""
    try:
        await client.config_set(SETTING, flags + "".join(sorted(NEEDED - present)))
    except Failure as error:
        return f"CONFIG SET is refused ({describe(error)}); set {SETTING} to Kg$h on the server"
    return ""
